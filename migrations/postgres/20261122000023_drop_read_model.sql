-- Drops the schema of a version that is being built, or was and is no more wanted. One that is live is refused, served or
-- not.
create function es.drop_read_model(model text, model_version int) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  if not exists (select from es.read_models r where r.name = model)
     or exists (select from es.active_view a where a.name = model and a.version = model_version)
     or exists (
       select from es.projection_versions v where v.name = model and v.version = model_version and v.phase = 'live'
     )
  then
    raise exception 'version % of read model % is not to be dropped', model_version, model using errcode = 'ES905';
  end if;
  execute format('drop schema if exists %I cascade', format('rm_%s_v%s', model, model_version));
end
$$;
revoke execute on function es.drop_read_model from public;
grant execute on function es.drop_read_model to proofline_projector;
