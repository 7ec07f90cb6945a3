-- Raw telemetry, one row per event of the telemetry log. No personal data. The window keeps the tokens of the last
-- inserts, so that a range which is sent again after a crash is a no-op here and in every view below; what an insert
-- answered is on disk, because the checkpoint in Postgres moves on it.
create table telemetry{v} (
  position        UInt64,
  account_id      UUID,
  site_id         UUID,
  notification_id UUID,
  event_id        UUID,
  kind            LowCardinality(String),
  page            String,
  occurred_at     DateTime64(6, 'UTC'),
  received_at     DateTime64(6, 'UTC')
) engine = MergeTree
partition by toYYYYMM(received_at)
order by (account_id, site_id, occurred_at, position)
settings non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1
