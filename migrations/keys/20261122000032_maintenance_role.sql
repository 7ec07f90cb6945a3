-- Who makes backups: reads everything, all of it wrapped, and writes nothing. Roles belong to the cluster and may stand already.
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
grant usage on schema keys, public to proofline_maintenance;
grant select on all tables in schema keys, public to proofline_maintenance;
alter default privileges in schema keys grant select on tables to proofline_maintenance;
