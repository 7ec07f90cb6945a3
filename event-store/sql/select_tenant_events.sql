select position, tenant_id, aggregate_type, aggregate_id, sequence, bucket, event_id, event_type, event_version,
       recorded_at, command_id, correlation_id, causation_id, actor, payload as "payload: _", metadata as "metadata: _"
from es.events
where tenant_id = $1 and position > $2 and position <= $3
order by position
