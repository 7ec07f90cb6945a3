-- As before, and the version is protected.
create or replace function es.finish_read_model(model text, model_version int) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  schema_name text := format('rm_%s_v%s', model, model_version);
  ddl         text;
begin
  select r.rest into ddl from es.read_models r where r.name = model;
  if ddl is null or not exists (
    select from es.projection_versions v where v.name = model and v.version = model_version and v.phase = 'building'
  ) then
    raise exception 'version % of read model % is not being built', model_version, model using errcode = 'ES905';
  end if;
  perform set_config('search_path', format('%I, pg_temp', schema_name), true);
  execute ddl;
  execute format('grant usage on schema %I to proofline_reader', schema_name);
  execute format('grant select on all tables in schema %I to proofline_reader', schema_name);
  perform es.protect_read_model(schema_name);
end
$$;
