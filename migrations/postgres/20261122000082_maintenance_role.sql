-- Who makes backups: reads everything, writes nothing. Roles belong to the cluster and may stand already.
do $$
begin
  if not exists (select from pg_roles where rolname = 'proofline_maintenance') then
    create role proofline_maintenance nologin;
  end if;
exception
  when duplicate_object or unique_violation then null;
end
$$;
do $$
begin
  if not (select rolsuper from pg_roles where rolname = current_user) then
    execute format('grant proofline_maintenance to %I', current_user);
  end if;
end
$$;
grant usage on schema es, public to proofline_maintenance;
grant select on all tables in schema es, public to proofline_maintenance;
grant select on all sequences in schema es, public to proofline_maintenance;
create policy events_maintained on es.events for select to proofline_maintenance using (true);
create policy access_log_maintained on es.access_log for select to proofline_maintenance using (true);
-- Partitions are made by the log's owner; everything else by whoever migrates.
alter default privileges in schema es grant select on tables to proofline_maintenance;
alter default privileges in schema es grant select on sequences to proofline_maintenance;
alter default privileges for role es_owner in schema es grant select on tables to proofline_maintenance;
