-- Ids seen lately, so that a resent event counts once. Ids are UUID v7 and only taken within a day of now, so the
-- index grows at its right edge and old ids can be dropped by range.
create table es.telemetry_ids (
  event_id uuid not null,
  owner_id uuid not null,
  constraint telemetry_ids_pkey primary key (event_id, owner_id)
);
alter table es.telemetry_ids owner to es_owner;
