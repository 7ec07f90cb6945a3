-- The last event that a condition excludes, if there is one. A condition is an array of alternatives
-- {"after": position, "tags": [hex of 16 bytes, at least one], "types": [event types; none stands for all]}: it excludes an
-- event after the position that has all of the tags and one of the types. Stable, so that it sees what the calling statement
-- sees: under the lock of the lane, all that was appended before.
create function es.find_match(condition jsonb) returns bigint
language plpgsql stable set search_path = pg_catalog, es, pg_temp
set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
begin
  return (
    select max(found.position)
    from jsonb_to_recordset(condition) a(after bigint, tags text[], types text[])
    cross join lateral (
      select t.position
      from es.tags t
      where t.tag = decode(a.tags[1], 'hex') and t.position > a.after
        and (cardinality(a.types) = 0
             or exists (select from es.events e where e.position = t.position and e.event_type = any (a.types)))
        and not exists (
          select from unnest(a.tags[2:]) further(tag)
          where not exists (select from es.tags o where o.tag = decode(further.tag, 'hex') and o.position = t.position))
      order by t.position desc limit 1
    ) found);
end
$$;
alter function es.find_match owner to es_owner;
revoke execute on function es.find_match from public;
