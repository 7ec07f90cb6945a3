-- Where everything stands. What waits is told by a text that changes whenever it does.
select clock_timestamp() as taken_at,
       e.incarnation as events, coalesce((select max(position) from es.events), 0) as events_head,
       t.incarnation as telemetry, coalesce((select max(position) from es.telemetry), t.floor) as telemetry_head,
       v.version as facts_version,
       (select coalesce(min(p.checkpoint), 0) from es.projections p
        where p.name = v.name and p.version = v.version) as facts_checkpoint,
       coalesce((select string_agg(k::text, ' ' order by k::text) from es.parked_keys k
                 where k.name = v.name and k.version = v.version), '') as waiting,
       array(select r.rolname::text from pg_roles r
             where r.rolname = 'es_owner' or starts_with(r.rolname, 'proofline_') order by 1) as roles
from es.log e
join es.log t on t.name = 'telemetry'
left join es.active_view v on v.name = $1
where e.name = 'events'
