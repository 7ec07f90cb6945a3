-- Runtime roles own nothing; `es_owner` owns the log and lends its rights through functions only.
-- Roles belong to the whole cluster, so another database may have made them already, or be making them now.
do $$
declare
  role_name text;
begin
  foreach role_name in array array['es_owner', 'proofline_writer', 'proofline_projector', 'proofline_reader'] loop
    begin
      if not exists (select from pg_roles where rolname = role_name) then
        execute format('create role %I nologin', role_name);
      end if;
    exception
      when duplicate_object or unique_violation then null;
    end;
    -- Also where somebody else made it. A superuser needs no grant; another migrator needs to become these roles.
    if not (select rolsuper from pg_roles where rolname = current_user) then
      execute format('grant %I to %I', role_name, current_user);
    end if;
  end loop;
end
$$;
