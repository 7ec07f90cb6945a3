-- By site, in fewer parts than rows have.
select toUInt64(cityHash64(site_id) % intDiv({part_size:UInt64}, 64)) as part, count() as rows, sum(hash) as hashes
from (
  select site_id, cityHash64(account_id, site_id, notification_id, toString(kind), hour, sum(events)) as hash
  from {table:Identifier}
  group by account_id, site_id, notification_id, kind, hour
)
group by part
order by part
