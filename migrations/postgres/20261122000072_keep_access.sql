-- Who opened personal data is known for at least a year, whatever anybody asks for.
create function es.keep_access() returns trigger
language plpgsql as $$
begin
  if old.accessed_at > clock_timestamp() - interval '365 days' then
    raise exception 'access % is not a year old and is there to stay', old.id using errcode = 'ES900';
  end if;
  return old;
end
$$;
alter function es.keep_access() owner to es_owner;
