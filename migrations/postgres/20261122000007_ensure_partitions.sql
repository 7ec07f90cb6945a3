-- Keeps a whole partition free ahead of each log's head, so that an append always finds one. Every writing process calls it now
-- and then, and they take turns. `filled` is how much of the last partition is used: 0 unless making one has failed for
-- long.
create function es.ensure_partitions() returns table (log_name text, created int, filled float8)
language plpgsql volatile security definer set search_path = pg_catalog, es, pg_temp as $$
declare
  size        bigint;
  head        bigint;
  last_number bigint;
begin
  perform pg_advisory_xact_lock(20261121, 3);
  for log_name, size in values ('events', 50000000::bigint), ('telemetry', 200000000) loop
    execute format('select position from es.%I order by position desc limit 1', log_name) into head;
    head := coalesce(head, 0);
    select max(substring(c.relname from '_p([0-9]+)$')::bigint) into strict last_number
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = format('es.%I', log_name)::regclass;
    created := 0;
    while last_number < head / size + 1 loop
      last_number := last_number + 1;
      created := created + 1;
      perform es.create_partition(log_name, last_number, size);
    end loop;
    filled := greatest(head - last_number * size, 0) / size::float8;
    return next;
  end loop;
end
$$;
alter function es.ensure_partitions owner to es_owner;
revoke execute on function es.ensure_partitions from public;
grant execute on function es.ensure_partitions to proofline_writer;
