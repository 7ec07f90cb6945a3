-- Who reads the log as a compliance officer: one account's events, and who opened its personal data. Roles belong to the
-- cluster and may stand already.
do $$
begin
  if not exists (select from pg_roles where rolname = 'proofline_compliance') then
    create role proofline_compliance nologin;
  end if;
exception
  when duplicate_object or unique_violation then null;
end
$$;
do $$
begin
  if not (select rolsuper from pg_roles where rolname = current_user) then
    execute format('grant proofline_compliance to %I', current_user);
  end if;
end
$$;
grant usage on schema es to proofline_compliance;
grant select on es.log, es.events to proofline_compliance;
create policy events_of_audited_account on es.events for select to proofline_compliance
  using (tenant_id = nullif(current_setting('proofline.account', true), '')::uuid);
