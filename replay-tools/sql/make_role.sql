-- What to run, so that there is such a role and the caller can act as it.
select format($q$do $do$ begin
  if not exists (select from pg_roles where rolname = %1$L) then
    create role %1$I nologin;
  end if;
  if %1$L <> current_user and not (select rolsuper from pg_roles where rolname = current_user) then
    grant %1$I to %2$I;
  end if;
end $do$$q$, $1::text, current_user)
