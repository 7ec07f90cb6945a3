select toStartOfDay(hour, 'UTC') as start, toString(kind) as kind, sum(events) as total
from {table:Identifier}
where account_id = {account:UUID} and site_id = {site:UUID}
  and hour >= toStartOfHour(toDateTime({start:Int64}, 'UTC')) and hour < toDateTime({end:Int64}, 'UTC')
group by start, kind
order by start, kind
