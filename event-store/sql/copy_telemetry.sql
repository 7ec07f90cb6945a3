copy (
  select position, tenant_id, owner_id, bucket, event_id, kind, occurred_at, received_at, payload,
         case when position = {after} + 1 then (select incarnation from es.log where name = 'telemetry') end,
         case when position = {after} + 1 then (select position from es.telemetry order by position desc limit 1) end
  from es.telemetry
  where position > {after} and position <= {to}
  order by position
) to stdout (format binary)
