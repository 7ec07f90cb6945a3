-- A tile grows until it is full, and is never written again.
create function es.keep_full_tile() returns trigger
language plpgsql as $$
begin
  if new.incarnation <> old.incarnation or new.tile <> old.tile
     or substring(new.leaves from 1 for octet_length(old.leaves)) <> old.leaves then
    raise exception 'tile % of log % may only grow', old.tile, old.incarnation using errcode = 'ES900';
  end if;
  return new;
end
$$;
alter function es.keep_full_tile() owner to es_owner;
