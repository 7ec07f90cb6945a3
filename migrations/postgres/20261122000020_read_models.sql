-- The tables of the read models, as the build that migrated last makes them: `tables` before rows are loaded, `rest` after.
-- Only the migrator writes here, and only its functions run what stands here.
create table es.read_models (
  name   text not null,
  tables text not null,
  rest   text not null,
  constraint read_models_pkey primary key (name)
);
