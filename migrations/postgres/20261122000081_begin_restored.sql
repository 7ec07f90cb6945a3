-- Makes a database that was restored from a backup fit to be served, in whichever cluster it is: the logs are other ones than
-- those that the backup was taken of, since what came later is lost and its positions are handed out again. Projections that
-- came back as they were at the logs' heads go on from there; every other one notices that the log is another.
create function es.begin_restored(came_back text[], out events uuid, out telemetry uuid)
language plpgsql volatile set search_path = pg_catalog, es, pg_temp as $$
declare
  before record;
begin
  for before in select l.name, l.incarnation from es.log l loop
    update es.log l
    set incarnation = gen_random_uuid(), system_identifier = null, timeline = null
    where l.name = before.name;
    update es.projections p
    set incarnation = l.incarnation
    from es.log l
    where l.name = before.name and p.incarnation = before.incarnation and p.name = any(came_back);
  end loop;
  -- A dump says nothing of the database itself.
  execute format('revoke temporary on database %I from public', current_database());
  -- Whoever held a shard, or was about to write, did so elsewhere.
  update es.projections set lease_owner = null where lease_owner is not null;
  delete from es.intents;
  -- Versions that stood by outside of this database did not come back, and what waited in them is forgotten.
  delete from es.dead_letters d using es.fact_tables f, es.active_view v
  where d.name = f.name and v.name = d.name and v.version <> d.version and d.discarded_at is null;
  delete from es.parked_keys p using es.fact_tables f, es.active_view v
  where p.name = f.name and v.name = p.name and v.version <> p.version;
  delete from es.projections p using es.fact_tables f, es.active_view v
  where p.name = f.name and v.name = p.name and v.version <> p.version;
  delete from es.projection_versions p using es.fact_tables f, es.active_view v
  where p.name = f.name and v.name = p.name and v.version <> p.version;
  select e.incarnation, t.incarnation into events, telemetry
  from es.log e, es.log t where e.name = 'events' and t.name = 'telemetry';
end
$$;
revoke execute on function es.begin_restored(text[]) from public;
