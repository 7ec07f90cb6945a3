-- The stream is found first, by its own index; an index by position would be read through for its few events.
select position, tenant_id, aggregate_type, aggregate_id, sequence, bucket, event_id, event_type, event_version,
       recorded_at, command_id, correlation_id, causation_id, actor, payload as "payload: _", metadata as "metadata: _"
from (select * from es.events where aggregate_type = $6 and aggregate_id = $7 offset 0) stream
where position >= $1 and position < $2
  and ($4::text is null or actor = $4)
  and ($5::text is null or event_type = $5)
order by position desc
limit $3
