select position, tenant_id, aggregate_type, aggregate_id, sequence, bucket, event_id, event_type, event_version,
       recorded_at, command_id, correlation_id, causation_id, actor, payload as "payload: _", metadata as "metadata: _"
from es.events
where position = any($1)
order by position
