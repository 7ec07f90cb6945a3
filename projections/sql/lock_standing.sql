-- How many shards of the versions do not stand at the position, or are not held by the worker. All are locked.
select count(*) filter (where checkpoint <> $3 or lease_owner is distinct from $4) as "elsewhere!"
from (select checkpoint, lease_owner from es.projections where name = $1 and version = any($2) for update) locked
