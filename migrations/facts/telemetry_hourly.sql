-- Events per hour, notification and kind.
create table telemetry_hourly{v} (
  account_id      UUID,
  site_id         UUID,
  notification_id UUID,
  kind            LowCardinality(String),
  hour            DateTime('UTC'),
  events          SimpleAggregateFunction(sum, UInt64)
) engine = AggregatingMergeTree
partition by toYYYYMM(hour)
order by (account_id, site_id, hour, notification_id, kind)
settings non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1
