-- The state of long streams after some of their events, so that loading one reads its tail only. May be deleted at any moment:
-- nothing rests on it. A row is used by those whose schema hash it has, and ignored by all others. No personal data,
-- sealed or not: whoever writes it sees to that.
create table es.snapshots (
  aggregate_type text        not null,
  aggregate_id   text        not null,
  tenant_id      uuid        not null,
  schema_hash    bytea       not null,
  sequence       bigint      not null,
  position       bigint      not null,
  state          json        not null,
  taken_at       timestamptz not null default clock_timestamp(),
  constraint snapshots_pkey primary key (aggregate_type, aggregate_id),
  constraint snapshots_sequence_positive check (sequence > 0),
  constraint snapshots_schema_hash_length check (octet_length(schema_hash) = 32)
);
alter table es.snapshots owner to es_owner;
grant select, insert, update, delete on es.snapshots to proofline_writer;
