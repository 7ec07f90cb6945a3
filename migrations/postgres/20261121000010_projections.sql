-- Where every projection stands, per virtual shard. `lease_epoch` fences a stale owner.
create table es.projections (
  name        text        not null,
  version     int         not null,
  shard       smallint    not null,
  incarnation uuid        not null,
  checkpoint  bigint      not null default 0,
  lease_owner text,
  lease_epoch bigint      not null default 0,
  status      text        not null default 'running',
  last_error  text,
  updated_at  timestamptz not null default clock_timestamp(),
  constraint projections_pkey primary key (name, version, shard),
  constraint projections_shard_range check (shard between 0 and 63),
  constraint projections_status_known check (status in ('running', 'stopped'))
) with (fillfactor = 50);
alter table es.projections owner to es_owner;
grant select on es.projections to proofline_writer, proofline_reader;
grant select, insert, update on es.projections to proofline_projector;
