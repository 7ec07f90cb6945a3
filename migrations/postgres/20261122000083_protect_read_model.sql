-- The last step of making a version of a read model: row-level security holds for its tables' owner, too, and who makes backups
-- sees every row.
create function es.protect_read_model(schema_name text) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
  table_name text;
begin
  execute format('grant usage on schema %I to proofline_maintenance', schema_name);
  execute format('grant select on all tables in schema %I to proofline_maintenance', schema_name);
  for table_name in
    select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = schema_name and c.relkind = 'r'
  loop
    execute format('alter table %I.%I enable row level security', schema_name, table_name);
    execute format('alter table %I.%I force row level security', schema_name, table_name);
    execute format('create policy maintained on %I.%I for select to proofline_maintenance using (true)',
                   schema_name, table_name);
  end loop;
end
$$;
revoke execute on function es.protect_read_model from public;
select es.protect_read_model(nspname) from pg_namespace where starts_with(nspname, 'rm_');
