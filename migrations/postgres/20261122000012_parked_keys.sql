-- Keys (buckets) of which a version of a projection can't write an event. That event and all later ones of the key, up to
-- where their shard stands, wait in the log, which keeps them in order; the others go on. `retry` asks whoever holds
-- the shard to write what waits.
create table es.parked_keys (
  name          text        not null,
  version       int         not null,
  bucket        smallint    not null,
  position_from bigint      not null,
  retry         boolean     not null default false,
  parked_at     timestamptz not null default clock_timestamp(),
  constraint parked_keys_pkey primary key (name, version, bucket),
  constraint parked_keys_bucket_range check (bucket between 0 and 1023)
);
alter table es.parked_keys owner to es_owner;
grant select on es.parked_keys to proofline_writer, proofline_reader;
grant select, insert, update, delete on es.parked_keys to proofline_projector;

-- What a projection writes outside Postgres is written down with what was left out of it, so that after a crash exactly
-- the same goes again. `bucket` is set where it is what had waited of one key.
alter table es.intents add column bucket smallint;
alter table es.intents add column left_out json not null default '{}';
