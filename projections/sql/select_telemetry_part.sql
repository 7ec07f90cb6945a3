select concat('position ', leftPad(toString(position), 20, '0')) as key,
       [toString(account_id), toString(site_id), toString(notification_id), toString(event_id), toString(kind), page,
        toString(occurred_at), toString(received_at)] as columns
from {table:Identifier}
where intDiv(position - 1, {part_size:UInt64}) = {part:UInt64}
order by key
