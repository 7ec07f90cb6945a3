-- Who seals the log: reads all of it, and adds to what is signed. Roles belong to the cluster and may stand already.
do $$
begin
  if not exists (select from pg_roles where rolname = 'proofline_sealer') then
    create role proofline_sealer nologin;
  end if;
exception
  when duplicate_object or unique_violation then null;
end
$$;
do $$
begin
  if not (select rolsuper from pg_roles where rolname = current_user) then
    execute format('grant proofline_sealer to %I', current_user);
  end if;
end
$$;
grant usage on schema es to proofline_sealer;
grant select on es.log, es.events to proofline_sealer;
grant execute on function es.recognise_cluster() to proofline_sealer;
create policy events_sealed on es.events for select to proofline_sealer using (true);
