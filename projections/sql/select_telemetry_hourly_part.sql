select concat('site ', toString(site_id), ' notification ', toString(notification_id), ' ', toString(kind), ' ',
              toString(hour)) as key,
       [toString(sum(events))] as columns
from {table:Identifier}
where cityHash64(site_id) % intDiv({part_size:UInt64}, 64) = {part:UInt64}
group by account_id, site_id, notification_id, kind, hour
order by key
