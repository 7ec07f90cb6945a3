-- Where everything stands.
select e.incarnation as events, coalesce((select max(position) from es.events), 0) as events_head,
       t.incarnation as telemetry, coalesce((select max(position) from es.telemetry), t.floor) as telemetry_head,
       v.version as facts_version,
       (select coalesce(min(p.checkpoint), 0) from es.projections p
        where p.name = v.name and p.version = v.version) as facts_checkpoint,
       array(select format('%s from %s', k.bucket, k.position_from) from es.parked_keys k
             where k.name = v.name and k.version = v.version) as waiting,
       exists (select from es.intents i
               where i.name = v.name and i.version = v.version and i.bucket is not null) as repairing
from es.log e
join es.log t on t.name = 'telemetry'
left join es.active_view v on v.name = $1
where e.name = 'events'
