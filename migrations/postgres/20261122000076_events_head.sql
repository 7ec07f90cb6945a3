-- Where the log ends, for a role that sees one account's events only.
create function es.events_head() returns bigint
language sql stable security definer set search_path = pg_catalog, es, pg_temp as $$
  select coalesce((select position from es.events order by position desc limit 1), 0)
$$;
alter function es.events_head owner to es_owner;
revoke execute on function es.events_head from public;
grant execute on function es.events_head to proofline_compliance;
