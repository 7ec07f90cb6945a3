-- Where the served version of each projection stands: its slowest shard. A projection of which no version is chosen
-- to be served is asked for in the version given.
select p.name as "name!", min(p.checkpoint) as "checkpoint!", bool_or(p.status = 'stopped') as "stopped!"
from unnest($1::text[], $2::int[]) asked(name, version)
left join es.active_view v on v.name = asked.name
join es.projections p on p.name = asked.name and p.version = coalesce(v.version, asked.version)
where p.incarnation = $3
group by p.name
