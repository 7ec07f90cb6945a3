-- The telemetry log: what visitors' browsers report. Contiguous positions, same runtime, 90 days hot.
create table es.telemetry (
  position    bigint      not null,
  tenant_id   uuid        not null,
  owner_id    uuid        not null,
  bucket      smallint    not null,
  event_id    uuid        not null,
  kind        text        not null,
  occurred_at timestamptz not null,
  received_at timestamptz not null,
  payload     json        not null,
  constraint telemetry_pkey primary key (position),
  constraint telemetry_bucket_range check (bucket between 0 and 1023)
) partition by range (position);
alter table es.telemetry owner to es_owner;
create trigger telemetry_immutable before update or delete or truncate on es.telemetry
  for each statement execute function es.deny();
create table es.telemetry_p0000 partition of es.telemetry for values from (1) to (200000001);
create table es.telemetry_p0001 partition of es.telemetry for values from (200000001) to (400000001);
alter table es.telemetry_p0000 owner to es_owner;
alter table es.telemetry_p0001 owner to es_owner;
create trigger telemetry_immutable before update or delete or truncate on es.telemetry_p0000
  for each statement execute function es.deny();
create trigger telemetry_immutable before update or delete or truncate on es.telemetry_p0001
  for each statement execute function es.deny();
grant select on es.telemetry to proofline_writer, proofline_projector;
