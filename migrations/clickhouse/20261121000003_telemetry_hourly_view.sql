create materialized view telemetry_hourly_view to telemetry_hourly as
select account_id, site_id, notification_id, kind, toStartOfHour(occurred_at, 'UTC') as hour, count() as events
from telemetry
group by account_id, site_id, notification_id, kind, hour
