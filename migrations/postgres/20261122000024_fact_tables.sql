-- How the tables of a projection in ClickHouse are made, in order, as the build that migrated last does: for versions
-- after the first. `{v}` stands for what distinguishes a version's tables. Only the migrator writes here.
create table es.fact_tables (
  name       text     not null,
  ordinal    smallint not null,
  table_name text     not null,
  statement  text     not null,
  constraint fact_tables_pkey primary key (name, ordinal)
);
grant select on es.fact_tables to proofline_projector;
