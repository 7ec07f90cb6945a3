-- As before, and who makes backups reads a version that is being built, too.
create or replace function es.create_read_model(model text, model_version int) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  schema_name text := format('rm_%s_v%s', model, model_version);
  ddl         text;
begin
  select r.tables into ddl from es.read_models r where r.name = model;
  if ddl is null or not exists (
    select from es.projection_versions v where v.name = model and v.version = model_version and v.phase = 'building'
  ) then
    raise exception 'version % of read model % is not being built', model_version, model using errcode = 'ES905';
  end if;
  execute format('create schema %I', schema_name);
  perform set_config('search_path', format('%I, pg_temp', schema_name), true);
  execute ddl;
  execute format('grant usage on schema %I to proofline_projector', schema_name);
  execute format('grant select, insert, update, delete, truncate on all tables in schema %I to proofline_projector',
                 schema_name);
  execute format('grant usage on schema %I to proofline_maintenance', schema_name);
  execute format('grant select on all tables in schema %I to proofline_maintenance', schema_name);
end
$$;
