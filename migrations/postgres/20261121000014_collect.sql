-- The telemetry lane: like es.append, for events that have no stream. Answers with the ordinals (1-based) that were
-- new, and with the head after the call; all others were seen before.
create function es.collect(
  log_incarnation uuid, e_tenant uuid[], e_owner uuid[], e_bucket smallint[], e_id uuid[], e_kind text[], e_occurred_at timestamptz[],
  e_payload text[], out accepted int[], out head bigint)
language plpgsql volatile security definer set search_path = pg_catalog, es, pg_temp as $$
declare
  collect_at timestamptz;
  head_at    timestamptz;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'es.collect needs read committed' using errcode = 'ES901';
  end if;
  perform pg_advisory_xact_lock(20261121, 2);
  if log_incarnation is distinct from (select l.incarnation from es.log l where l.name = 'telemetry') then
    raise exception 'the telemetry log is another incarnation' using errcode = 'ES904';
  end if;
  select t.position, t.received_at into head, head_at from es.telemetry t order by t.position desc limit 1;
  head := coalesce(head, 0);
  collect_at := greatest(clock_timestamp(), head_at);

  with event as (
    select distinct on (e.id, e.owner) e.*
    from unnest(e_tenant, e_owner, e_bucket, e_id, e_kind, e_occurred_at, e_payload)
      with ordinality e(tenant, owner, bucket, id, kind, occurred_at, payload, ord)
    order by e.id, e.owner, e.ord
  ), fresh as (
    insert into es.telemetry_ids (event_id, owner_id) select event.id, event.owner from event
    on conflict do nothing returning event_id, owner_id
  ), placed as (
    select event.*, head + row_number() over (order by event.ord) as place
    from event join fresh on fresh.event_id = event.id and fresh.owner_id = event.owner
  ), inserted as (
    insert into es.telemetry (position, tenant_id, owner_id, bucket, event_id, kind, occurred_at, received_at, payload)
    select p.place, p.tenant, p.owner, p.bucket, p.id, p.kind, p.occurred_at, collect_at, p.payload::json from placed p
  )
  select coalesce(array_agg(p.ord::int order by p.ord), '{}'), coalesce(max(p.place), head)
  into accepted, head from placed p;
end
$$;
alter function es.collect owner to es_owner;
revoke execute on function es.collect from public;
grant execute on function es.collect to proofline_writer;
