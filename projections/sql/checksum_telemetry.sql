select toUInt64(intDiv(position - 1, {part_size:UInt64})) as part, count() as rows,
       sum(cityHash64(position, account_id, site_id, notification_id, event_id, toString(kind), page, occurred_at, received_at)) as hashes
from {table:Identifier}
group by part
order by part
