-- What read models of earlier builds do not have. Shop pages are read from them: where somebody holds one, a backup perhaps, this
-- gives up and can be run again, rather than have every reader wait behind it.
set local lock_timeout = '5s';
do $$
declare
  one record;
begin
  for one in select v.version from es.projection_versions v where v.name = 'site_list' loop
    execute format('alter table if exists rm_site_list_v%s.site add column if not exists data_region text', one.version);
  end loop;
end
$$;
