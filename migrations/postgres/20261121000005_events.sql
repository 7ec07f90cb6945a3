-- The domain log. Stored for ever: a column is never renamed, retyped or given another meaning.
-- `json`, not `jsonb`: the stored bytes are the bytes that are hashed. `bucket` is a hash of the event's owner
-- (the site, else the account), computed by the writer. `recorded_at` never steps back along the log.
-- A superset of the columns of postgres-es.
create table es.events (
  position       bigint      not null,
  tenant_id      uuid        not null,
  aggregate_type text        not null,
  aggregate_id   text        not null,
  sequence       bigint      not null,
  bucket         smallint    not null,
  event_id       uuid        not null,
  event_type     text        not null,
  event_version  text        not null,
  recorded_at    timestamptz not null,
  command_id     uuid        not null,
  correlation_id uuid        not null,
  causation_id   uuid,
  actor          text        not null,
  payload        json        not null,
  metadata       json        not null,
  constraint events_pkey primary key (position),
  constraint events_position_positive check (position > 0),
  constraint events_sequence_positive check (sequence > 0),
  constraint events_bucket_range check (bucket between 0 and 1023)
) partition by range (position);
alter table es.events owner to es_owner;
create trigger events_immutable before update or delete or truncate on es.events
  for each statement execute function es.deny();
