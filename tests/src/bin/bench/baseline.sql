-- What ours is compared with, in a database of its own on the same server.

-- The row of es.events, in a plain table with one index.
create table insert_only (
  position       bigint      not null,
  tenant_id      uuid        not null,
  aggregate_type text        not null,
  aggregate_id   text        not null,
  sequence       bigint      not null,
  bucket         smallint    not null,
  event_id       uuid        not null primary key,
  event_type     text        not null,
  event_version  text        not null,
  recorded_at    timestamptz not null,
  command_id     uuid        not null,
  correlation_id uuid        not null,
  causation_id   uuid,
  actor          text        not null,
  payload        json        not null,
  metadata       json        not null
);

-- The row of es.telemetry, likewise.
create table copy_only (
  position    bigint      not null,
  tenant_id   uuid        not null,
  owner_id    uuid        not null,
  bucket      smallint    not null,
  event_id    uuid        not null primary key,
  kind        text        not null,
  occurred_at timestamptz not null,
  received_at timestamptz not null,
  payload     json        not null
);

-- As postgres-es 0.5 says in its db/init.sql.
create table events
(
    aggregate_type text                         not null,
    aggregate_id   text                         not null,
    sequence       bigint check (sequence >= 0) not null,
    event_type     text                         not null,
    event_version  text                         not null,
    payload        json                         not null,
    metadata       json                         not null,
    primary key (aggregate_type, aggregate_id, sequence)
);
