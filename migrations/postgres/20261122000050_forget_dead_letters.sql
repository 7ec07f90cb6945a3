-- What waits in a version goes with the version. What somebody decided stays for good, and holds for every version.
create or replace function es.keep_decision() returns trigger
language plpgsql as $$
begin
  if old.discarded_at is not null then
    raise exception 'that % was discarded at position % is there for good', old.name, old.position using errcode = 'ES905';
  end if;
  return case tg_op when 'DELETE' then old else new end;
end
$$;
drop trigger dead_letters_kept on es.dead_letters;
create trigger dead_letters_kept before delete on es.dead_letters
  for each row execute function es.keep_decision();
create trigger dead_letters_not_truncated before truncate on es.dead_letters
  for each statement execute function es.deny();
grant delete on es.dead_letters to proofline_projector;
