create materialized view telemetry_hourly_view{v} to telemetry_hourly{v} as
select account_id, site_id, notification_id, kind, toStartOfHour(occurred_at, 'UTC') as hour, count() as events
from telemetry{v}
group by account_id, site_id, notification_id, kind, hour
