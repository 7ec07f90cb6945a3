select e.position, e.tenant_id, e.aggregate_type, e.aggregate_id, e.sequence, e.bucket, e.event_id, e.event_type,
       e.event_version, e.recorded_at, e.command_id, e.correlation_id, e.causation_id, e.actor,
       e.payload as "payload: _", e.metadata as "metadata: _"
from es.streams s
join es.events e on e.aggregate_type = s.aggregate_type and e.aggregate_id = s.aggregate_id
                and e.position between s.first_position and s.last_position
where s.aggregate_type = $1 and s.aggregate_id = $2 and e.sequence > $3
order by e.sequence
limit $4
