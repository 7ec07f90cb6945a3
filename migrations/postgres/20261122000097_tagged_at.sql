-- The tenant's last event that has a tag and one of the types: where it stands, and in which stream. Whether an id is linked to a
-- person's record, or was unlinked, is what the last of both says.
drop function es.tagged;
create function es.tagged(tenant uuid, wanted bytea, wanted_types text[])
returns table (aggregate_type text, aggregate_id text, event_type text, "position" bigint)
language sql stable security definer set search_path = pg_catalog, es, pg_temp as $$
  select e.aggregate_type, e.aggregate_id, e.event_type, e.position
  from es.tags t join es.events e on e.position = t.position
  where t.tag = wanted and e.event_type = any (wanted_types) and e.tenant_id = tenant
  order by t.position desc limit 1
$$;
alter function es.tagged owner to es_owner;
revoke execute on function es.tagged from public;
grant execute on function es.tagged to proofline_writer;
