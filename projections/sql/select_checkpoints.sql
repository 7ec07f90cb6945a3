-- Where the served version of each projection stands: its slowest shard.
select p.name as "name!", min(p.checkpoint) as "checkpoint!", bool_or(p.status = 'stopped') as "stopped!"
from es.active_view v
join es.projections p on p.name = v.name and p.version = v.version
where v.name = any($1::text[]) and p.incarnation = $2
group by p.name
