-- Where the data of this database may lie. Said once; nobody takes it back.
create table es.region (
  only_one boolean     not null default true,
  name     text        not null,
  bound_at timestamptz not null default clock_timestamp(),
  constraint region_pkey primary key (only_one),
  constraint region_is_one check (only_one),
  constraint region_name check (name ~ '^[a-z0-9-]{1,32}$')
);
alter table es.region owner to es_owner;
grant select on es.region to proofline_writer, proofline_projector, proofline_reader;
