-- Each stream up to a sequence, one after the other, by its own index.
select e.position, e.tenant_id, e.aggregate_type, e.aggregate_id, e.sequence, e.bucket, e.event_id, e.event_type,
       e.event_version, e.recorded_at, e.command_id, e.correlation_id, e.causation_id, e.actor,
       e.payload as "payload: _", e.metadata as "metadata: _"
from unnest($1::text[], $2::text[], $3::bigint[]) stream(aggregate_type, aggregate_id, version)
cross join lateral (
  select * from es.events e
  where e.aggregate_type = stream.aggregate_type and e.aggregate_id = stream.aggregate_id and e.sequence <= stream.version
  order by e.sequence
  offset 0
) e
