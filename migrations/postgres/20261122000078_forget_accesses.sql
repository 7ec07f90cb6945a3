-- Forgets accesses of more than so many days ago, the oldest first and in small batches; answers how many. The trigger on
-- the table refuses whatever is not a year old, and this says so before anything is asked of it.
create function es.forget_accesses(kept_days int, batch_max int) returns int
language plpgsql volatile security definer set search_path = pg_catalog, es, pg_temp as $$
declare
  forgotten int;
begin
  if kept_days is null or kept_days < 365 then
    raise exception 'accesses are kept for at least 365 days, not %', kept_days using errcode = 'ES906';
  end if;
  delete from es.access_log a
  using (select l.id from es.access_log l
         where l.accessed_at < clock_timestamp() - make_interval(days => kept_days)
         order by l.accessed_at limit batch_max for update skip locked) old
  where a.id = old.id;
  get diagnostics forgotten = row_count;
  return forgotten;
end
$$;
alter function es.forget_accesses owner to es_owner;
revoke execute on function es.forget_accesses from public;
grant execute on function es.forget_accesses to proofline_writer;
