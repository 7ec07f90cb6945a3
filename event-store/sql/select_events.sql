-- The first row tells of the log itself: `position` is its head and `tenant_id` its incarnation. So records, head and
-- incarnation come in one trip and are of one moment. The order of a `union all` is that of its parts.
select (select coalesce(max(position), 0) from es.events) as "position!", incarnation as "tenant_id!",
       '' as "aggregate_type!", '' as "aggregate_id!", 0::bigint as "sequence!", 0::smallint as "bucket!",
       incarnation as "event_id!", '' as "event_type!", '' as "event_version!", created_at as "recorded_at!",
       incarnation as "command_id!", incarnation as "correlation_id!", null::uuid as causation_id, '' as "actor!",
       '{}'::json as "payload!: _", '{}'::json as "metadata!: _"
from es.log where name = 'events'
union all
(select position, tenant_id, aggregate_type, aggregate_id, sequence, bucket, event_id, event_type, event_version,
        recorded_at, command_id, correlation_id, causation_id, actor, payload, metadata
 from es.events where position > $1 order by position limit $2)
