-- What read models of earlier builds do not have. One whose rows are not loaded yet gets it afterwards, with its indexes.
do $$
declare
  one      record;
  schema   text;
  standing text := current_setting('search_path');
begin
  for one in select v.version from es.projection_versions v where v.name = 'subject_list' loop
    schema := format('rm_subject_list_v%s', one.version);
    continue when to_regclass(schema || '.subject_by_account') is null;
    perform set_config('search_path', schema || ', pg_temp', true);
    create index subject_by_identity on subject using gin (((record -> 'identities')::jsonb));
    create function subject_known_as(account uuid, among uuid[]) returns setof subject
    language sql stable security definer set search_path from current
    as $body$
      select * from subject
      where account_id = account
        and (subject_id = any (among) or (record -> 'identities')::jsonb operator(pg_catalog.?|) among::text[])
    $body$;
    revoke execute on function subject_known_as(uuid, uuid[]) from public;
    grant execute on function subject_known_as(uuid, uuid[]) to proofline_reader;
  end loop;
  perform set_config('search_path', standing, true);
end
$$;
