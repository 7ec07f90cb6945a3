-- Every version that stands: where its slowest shard is, who is at work on it, and what went wrong last.
select v.name as "name!", v.version as "version!", v.revision as "revision!", v.phase as "phase!",
       v.stage, coalesce(v.events_done, 0) as "events_done!", coalesce(v.events_total, 0) as "events_total!",
       extract(epoch from clock_timestamp() - coalesce(v.told_at, v.created_at))::float8 as "silent_seconds!",
       a.name is not null as "is_served!", p.checkpoint, p.status, p.last_error, p.updated_at,
       coalesce(h.workers, '{}') as "workers!", coalesce(p.shards, 0) - coalesce(h.shards, 0) as "shards_unheld!",
       (select count(*) from es.parked_keys k where k.name = v.name and k.version = v.version) as "parked_keys!"
from es.projection_versions v
left join es.active_view a using (name, version)
left join (select name, version, min(checkpoint) as checkpoint, max(status) as status, max(last_error) as last_error,
                  max(updated_at) as updated_at, count(*) as shards
           from es.projections group by name, version) p using (name, version)
left join (select name, version, array_agg(format('%s (%s)', worker_id, shards) order by worker_id) as workers,
                  sum(shards)::bigint as shards
           from (select p.name, p.version, w.worker_id, count(*) as shards
                 from es.projections p join es.workers w on w.worker_id = p.lease_owner
                 where w.alive_until > clock_timestamp()
                 group by p.name, p.version, w.worker_id) held
           group by name, version) h using (name, version)
order by v.name, v.version
