-- Every shard of a projection's version, who holds it as seen by worker $3, and how many workers share them. A worker
-- that has not beaten in time holds nothing, but itself does not doubt its own: who took them has raised their epochs.
select p.shard, p.incarnation, p.lease_epoch, p.lease_owner is not distinct from $3 as "is_mine!",
       owner.worker_id is not null as "is_held!", alive.workers as "workers!"
from es.projections p
left join es.workers owner on owner.worker_id = p.lease_owner and owner.alive_until > clock_timestamp(),
     (select count(*) filter (where worker_id <> $3) + 1 as workers
      from es.workers where projects and alive_until > clock_timestamp()) alive
where p.name = $1 and p.version = $2
order by p.shard
