select p.name as "name!", p.version as "version!", min(p.checkpoint) as "checkpoint!",
       max(p.status) as "status!", max(p.last_error) as last_error, max(p.updated_at) as "updated_at!"
from es.projections p
group by p.name, p.version
order by p.name, p.version
