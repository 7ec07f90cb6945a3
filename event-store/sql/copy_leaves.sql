copy (
  select position, tenant_id, aggregate_type, aggregate_id, sequence, bucket, event_id, event_type, event_version,
         recorded_at, command_id, correlation_id, causation_id, actor, payload, metadata
  from es.events
  where position > {after} and position <= {to}
  order by position
) to stdout (format binary)
