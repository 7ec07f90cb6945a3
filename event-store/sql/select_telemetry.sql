-- The first row tells of the log itself, as in select_events.sql.
select (select coalesce(max(position), 0) from es.telemetry) as "position!", incarnation as "tenant_id!",
       incarnation as "owner_id!", 0::smallint as "bucket!", incarnation as "event_id!", '' as "kind!",
       created_at as "occurred_at!", created_at as "received_at!", '{}'::json as "payload!: _"
from es.log where name = 'telemetry'
union all
(select position, tenant_id, owner_id, bucket, event_id, kind, occurred_at, received_at, payload
 from es.telemetry where position > $1 order by position limit $2)
