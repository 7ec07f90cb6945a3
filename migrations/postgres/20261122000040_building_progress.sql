-- How far the tool is that builds a version, as it says every second: what it does, and how many events of how many it has
-- read, where that is what it does. Null where nobody has said anything. A time that stands is a tool that is gone.
alter table es.projection_versions
  add column stage        text,
  add column events_done  bigint,
  add column events_total bigint,
  add column told_at      timestamptz;
