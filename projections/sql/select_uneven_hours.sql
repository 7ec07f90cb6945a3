-- The difference is a negative number where too much stands there; as an unsigned one it wraps, and so does the sum.
with touched as (
  select distinct account_id, site_id, toStartOfHour(occurred_at, 'UTC') as hour from {table:Identifier}
  where position > {after:Int64} and position <= {to:Int64}
    and received_at between fromUnixTimestamp64Micro({since:Int64}, 'UTC') and fromUnixTimestamp64Micro({until:Int64}, 'UTC')
)
select account_id, site_id, notification_id, kind, hour, reinterpretAsUInt64(sum(difference)) as events
from (
  select account_id, site_id, notification_id, kind, toStartOfHour(occurred_at, 'UTC') as hour,
         toInt64(count()) as difference
  from {table:Identifier}
  where (account_id, site_id) in (select account_id, site_id from touched)
    and occurred_at >= (select min(hour) from touched) and occurred_at < (select max(hour) + interval 1 hour from touched)
    and (account_id, site_id, toStartOfHour(occurred_at, 'UTC')) in touched
  group by account_id, site_id, notification_id, kind, hour
  union all
  select account_id, site_id, notification_id, kind, hour, -reinterpretAsInt64(sum(events)) as difference
  from {rolled_up:Identifier}
  where (account_id, site_id, hour) in touched
  group by account_id, site_id, notification_id, kind, hour
)
group by account_id, site_id, notification_id, kind, hour
having events != 0
