-- Empties the index of whose data stands where, so that it is made anew from the log: only one that was made from another
-- incarnation of the log, whose positions mean nothing any more. Answers whether it was.
create function keys.begin_subject_events(log_incarnation uuid) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  delete from keys.subject_events_checkpoint where incarnation <> log_incarnation;
  if not found then
    return false;
  end if;
  delete from keys.subject_events;
  return true;
end
$$;
revoke execute on function keys.begin_subject_events(uuid) from public;
grant execute on function keys.begin_subject_events(uuid) to proofline_vault;
