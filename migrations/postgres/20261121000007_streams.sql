-- The head of every stream: the authority for optimistic concurrency. Status 0 is open, 1 is closed for ever.
create table es.streams (
  aggregate_type text     not null,
  aggregate_id   text     not null,
  tenant_id      uuid     not null,
  version        bigint   not null,
  first_position bigint   not null,
  last_position  bigint   not null,
  status         smallint not null default 0,
  constraint streams_pkey primary key (aggregate_type, aggregate_id),
  constraint streams_version_positive check (version > 0),
  constraint streams_status_known check (status in (0, 1))
) with (fillfactor = 70);
alter table es.streams owner to es_owner;
grant select on es.streams to proofline_writer, proofline_projector;
