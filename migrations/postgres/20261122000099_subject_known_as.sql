-- The function passes row-level security, so it has to ask itself on whose behalf it is called.
do $$
declare
  one      record;
  schema   text;
  standing text := current_setting('search_path');
begin
  for one in select v.version from es.projection_versions v where v.name = 'subject_list' loop
    schema := format('rm_subject_list_v%s', one.version);
    continue when to_regprocedure(schema || '.subject_known_as(uuid, uuid[])') is null;
    perform set_config('search_path', schema || ', pg_temp', true);
    create or replace function subject_known_as(account uuid, among uuid[]) returns setof subject
    language sql stable security definer set search_path from current
    as $body$
      select * from subject
      where account_id = account and account_id = nullif(current_setting('proofline.account', true), '')::uuid
        and (subject_id = any (among) or (record -> 'identities')::jsonb operator(pg_catalog.?|) among::text[])
    $body$;
  end loop;
  perform set_config('search_path', standing, true);
end
$$;
