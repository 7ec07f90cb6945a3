-- The vault's role reads and writes keys and owns nothing. Roles belong to the cluster and may stand already.
do $$
begin
  if not exists (select from pg_roles where rolname = 'proofline_vault') then
    create role proofline_vault nologin;
  end if;
exception
  when duplicate_object or unique_violation then null;
end
$$;
do $$
begin
  if not (select rolsuper from pg_roles where rolname = current_user) then
    execute format('grant proofline_vault to %I', current_user);
  end if;
end
$$;
grant usage on schema keys to proofline_vault;
grant select, insert, update on keys.subject to proofline_vault;
grant select, insert on keys.subject_events to proofline_vault;
grant select, insert, update on keys.subject_events_checkpoint to proofline_vault;
