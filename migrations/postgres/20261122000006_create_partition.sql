-- Partition N of a log of partitions of `size` holds the positions (N * size, (N + 1) * size]. It is made beside the log and
-- then attached, which delays neither readers nor writers; `create table … partition of` would lock the log against both. The check makes
-- attaching a matter of the catalogue and goes again.
--
-- A statement trigger on the parent does not fire for a statement that names a partition, so each partition has its own.
-- Unique per partition only, because a global unique index would have to contain the position: `es.streams` under the
-- lane is the authority for sequences.
create function es.create_partition(log_name text, partition_number bigint, size bigint) returns void
language plpgsql volatile set search_path = pg_catalog, es, pg_temp as $$
declare
  partition_name constant text := format('%s_p%s', log_name, lpad(partition_number::text, 4, '0'));
  first          constant bigint := partition_number * size + 1;
begin
  execute format('create table es.%I (like es.%I including defaults including constraints)', partition_name, log_name);
  execute format('alter table es.%I add constraint attached check (position >= %s and position < %s)',
    partition_name, first, first + size);
  execute format('alter table es.%I add constraint %I primary key (position)', partition_name, partition_name || '_pkey');
  if log_name = 'events' then
    execute format('create unique index %I on es.%I (aggregate_type, aggregate_id, sequence)',
      partition_name || '_stream', partition_name);
  end if;
  execute format('create trigger %I before update or delete or truncate on es.%I'
    ' for each statement execute function es.deny()', log_name || '_immutable', partition_name);
  execute format('alter table es.%I attach partition es.%I for values from (%s) to (%s)',
    log_name, partition_name, first, first + size);
  execute format('alter table es.%I drop constraint attached', partition_name);
end
$$;
alter function es.create_partition owner to es_owner;
revoke execute on function es.create_partition from public;
