-- An index that read models of earlier builds do not have. What is being built gets it when its rows are loaded.
do $$
declare
  one record;
begin
  for one in select v.version from es.projection_versions v
             where v.name = 'subject_list' and v.phase <> 'building'
               and to_regclass(format('rm_subject_list_v%s.subject', v.version)) is not null
  loop
    execute format('create index subject_by_identity on rm_subject_list_v%s.subject
                    using gin (((record -> ''identities'')::jsonb))', one.version);
  end loop;
end
$$;
