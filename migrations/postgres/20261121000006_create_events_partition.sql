-- Partition N holds the positions (N * 50,000,000, (N + 1) * 50,000,000]. A statement trigger on the parent does not fire for
-- a statement that names a partition, so each partition has its own. Unique per partition only, because a global
-- unique index would have to contain the position: `es.streams` under the lane is the authority for sequences.
create function es.create_events_partition(partition_number int) returns void
language plpgsql as $$
declare
  partition_size constant bigint := 50000000;
  partition_name constant text := format('events_p%s', lpad(partition_number::text, 4, '0'));
begin
  execute format('create table es.%I partition of es.events for values from (%s) to (%s)',
    partition_name, partition_number * partition_size + 1, (partition_number + 1) * partition_size + 1);
  execute format('alter table es.%I owner to es_owner', partition_name);
  execute format('create unique index %I on es.%I (aggregate_type, aggregate_id, sequence)',
    partition_name || '_stream', partition_name);
  execute format('create trigger events_immutable before update or delete or truncate on es.%I'
    ' for each statement execute function es.deny()', partition_name);
end
$$;
alter function es.create_events_partition(int) owner to es_owner;
revoke execute on function es.create_events_partition(int) from public;
select es.create_events_partition(n) from generate_series(0, 1) n;

-- The writer and the projector see every tenant's events; a reader sees those of the account it has set, and nothing
-- where it has set none.
alter table es.events enable row level security;
create policy events_all on es.events for select to proofline_writer, proofline_projector using (true);
create policy events_of_account on es.events for select to proofline_reader
  using (tenant_id = nullif(current_setting('proofline.account', true), '')::uuid);
grant select on es.events to proofline_writer, proofline_projector, proofline_reader;
