-- Gives the logs new incarnations where they are found in another cluster or timeline than they were written in, and
-- answers whether it did. Called before anything is appended on a new connection, and before anything is read: whatever
-- moved the database has broken every connection to it.
--
-- Does nothing on a standby, where nothing can be appended either. The lanes' locks keep an append from falling between
-- the look and the change.
create function es.recognise_cluster() returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, es, pg_temp as $$
declare
  here_system   bigint;
  here_timeline int;
  moved         boolean;
begin
  if pg_is_in_recovery() then
    return false;
  end if;
  select c.system_identifier into here_system from pg_control_system() c;
  -- Of the control file, a promotion changes the timeline only with the next checkpoint.
  here_timeline := ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int;
  if not exists (select from es.log l
                 where (l.system_identifier, l.timeline) is distinct from (here_system, here_timeline)) then
    return false;
  end if;
  perform pg_advisory_xact_lock(20261121, 1);
  perform pg_advisory_xact_lock(20261121, 2);
  moved := exists (select from es.log l where l.system_identifier is not null
                   and (l.system_identifier, l.timeline) is distinct from (here_system, here_timeline));
  update es.log l
  set incarnation = case when l.system_identifier is null then l.incarnation else gen_random_uuid() end,
      system_identifier = here_system,
      timeline = here_timeline
  where (l.system_identifier, l.timeline) is distinct from (here_system, here_timeline);
  if moved then
    raise warning 'the logs were written in another cluster or timeline and have new incarnations now';
  end if;
  return moved;
end
$$;
alter function es.recognise_cluster() owner to es_owner;
revoke execute on function es.recognise_cluster() from public;
grant execute on function es.recognise_cluster() to proofline_writer, proofline_projector;
