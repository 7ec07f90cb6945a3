-- The append lane: with es.append_one the only way into es.events. One call is one statement, one lock hold and one fsync, and
-- answers each command on its own; a conflict costs nobody else anything. It must be the only statement of its
-- transaction: the lock is held until the commit is durable, which is what makes positions contiguous in commit order.
--
-- c_* has one element per command, e_* one per event, t_* one per tag of an event. e_command is the ordinal (1-based) of
-- the event's command and e_nth its place in it; c_events counts a command's events, and may be 0. t_command and t_nth name
-- the tag's event alike. A null c_request_hash means that the command came without a client's key; c_condition is null or
-- what es.find_match takes. Payloads come as json, so that they were checked before the lock is taken.
--
-- A call has a stream, a command id and a condition's tags once: the constraints refuse the first two, and the caller
-- must keep to the third, since a condition is checked against what earlier calls appended.
--
-- log_incarnation is the identity of the log that the caller knows.
--
-- Status: ok | duplicate (the stored result is returned) | key_reused | not_found (another tenant's stream) | closed |
-- conflict (version is the actual one) | condition (last_position is that of the event that the condition excludes).
--
-- Plans are made once and look up each command by index, however small a table was when they were made: planning anew took
-- longer than a command.
drop function es.append;
create function es.append(
  log_incarnation uuid, c_id uuid[], c_request_hash bytea[], c_tenant uuid[], c_type text[], c_aggregate text[],
  c_bucket smallint[], c_expected bigint[], c_events int[], c_actor text[], c_correlation uuid[], c_causation uuid[],
  c_metadata json[], c_condition text[],
  e_command int[], e_nth int[], e_id uuid[], e_type text[], e_version text[], e_payload json[],
  t_command int[], t_nth int[], t_tag bytea[])
returns table (ordinal int, status text, aggregate_id text, version bigint, last_position bigint)
language plpgsql volatile security definer set search_path = pg_catalog, es, pg_temp
set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
#variable_conflict use_column
declare
  head        bigint;
  head_at     timestamptz;
  append_at   timestamptz;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'es.append needs read committed' using errcode = 'ES901';
  end if;
  perform pg_advisory_xact_lock(20261121, 1);
  -- A process that outlived a restore of the database must not go on with what it knew before.
  if log_incarnation is distinct from (select l.incarnation from es.log l where l.name = 'events') then
    raise exception 'the events log is another incarnation' using errcode = 'ES904';
  end if;
  -- Every statement below has a snapshot younger than the lock, so it sees all that was appended before.
  select e.position, e.recorded_at into head, head_at from es.events e order by e.position desc limit 1;
  head := coalesce(head, 0);
  append_at := greatest(clock_timestamp(), head_at);

  return query
  with checked as (
    select c.*, coalesce(s.version, 0) as actual, coalesce(s.last_position, 0) as actual_position,
           d.aggregate_id as done_id, d.version as done_version, d.last_position as done_position, m.match,
           es.append_verdict(c.request_hash, d.request_hash, c.tenant, s.tenant_id, s.status, s.version, c.expected, m.match)
             as verdict
    from unnest(c_id, c_request_hash, c_tenant, c_type, c_aggregate, c_bucket, c_expected, c_events, c_actor,
                c_correlation, c_causation, c_metadata, c_condition)
      with ordinality c(id, request_hash, tenant, atype, aid, bucket, expected, event_count, actor, correlation, causation,
                        metadata, condition, ord)
    left join lateral (
      select d.* from es.commands d
      where c.request_hash is not null and d.tenant_id = c.tenant and d.command_id = c.id limit 1
    ) d on true
    left join lateral (
      select s.* from es.streams s where s.aggregate_type = c.atype and s.aggregate_id = c.aid limit 1
    ) s on true
    cross join lateral (
      select case when c.condition is not null then es.find_match(c.condition::jsonb) end as match
    ) m
  ), placed as materialized (
    select c.*, head + coalesce(sum(c.event_count) filter (where c.verdict = 'ok')
             over (order by c.ord rows between unbounded preceding and 1 preceding), 0)::bigint as base
    from checked c
  ), inserted_events as (
    insert into es.events (position, tenant_id, aggregate_type, aggregate_id, sequence, bucket, event_id, event_type,
                           event_version, recorded_at, command_id, correlation_id, causation_id, actor, payload, metadata)
    select p.base + e.nth, p.tenant, p.atype, p.aid, p.actual + e.nth, p.bucket, e.id, e.etype, e.version, append_at,
           p.id, p.correlation, p.causation, p.actor, e.payload, p.metadata
    from unnest(e_command, e_nth, e_id, e_type, e_version, e_payload) e(command, nth, id, etype, version, payload)
    join placed p on p.ord = e.command and p.verdict = 'ok'
  ), inserted_tags as (
    insert into es.tags (tag, position)
    select t.tag, p.base + t.nth
    from unnest(t_command, t_nth, t_tag) t(command, nth, tag)
    join placed p on p.ord = t.command and p.verdict = 'ok'
  ), moved_streams as (
    insert into es.streams as s (aggregate_type, aggregate_id, tenant_id, version, first_position, last_position)
    select p.atype, p.aid, p.tenant, p.actual + p.event_count, p.base + 1, p.base + p.event_count
    from placed p where p.verdict = 'ok' and p.event_count > 0
    on conflict on constraint streams_pkey
      do update set version = excluded.version, last_position = excluded.last_position
  ), stored_results as (
    insert into es.commands (tenant_id, command_id, request_hash, aggregate_type, aggregate_id, version, event_count,
                             last_position, recorded_at)
    select p.tenant, p.id, p.request_hash, p.atype, p.aid, p.actual + p.event_count, p.event_count,
           case when p.event_count > 0 then p.base + p.event_count else p.actual_position end, append_at
    from placed p where p.verdict = 'ok' and p.request_hash is not null
  )
  select p.ord::int, p.verdict,
         case when p.verdict = 'duplicate' then p.done_id else p.aid end,
         case p.verdict when 'duplicate' then p.done_version when 'ok' then p.actual + p.event_count else p.actual end,
         case when p.verdict = 'duplicate' then p.done_position
              when p.verdict = 'condition' then p.match
              when p.verdict = 'ok' and p.event_count > 0 then p.base + p.event_count
              else p.actual_position end
  from placed p order by p.ord;
end
$$;
alter function es.append owner to es_owner;
revoke execute on function es.append from public;
grant execute on function es.append to proofline_writer;
