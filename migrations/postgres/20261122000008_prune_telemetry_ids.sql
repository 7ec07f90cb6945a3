-- Forgets ids that no event will come with again: they are UUID v7 and refused when the time in them is a day old. Two days
-- are kept. In small batches, since each is a transaction beside those of the telemetry lane; answers how many.
create function es.prune_telemetry_ids(batch_max int) returns int
language plpgsql volatile security definer set search_path = pg_catalog, es, pg_temp as $$
declare
  kept_ms constant bigint := extract(epoch from clock_timestamp() - interval '2 days') * 1000;
  oldest  constant uuid := rpad(lpad(to_hex(kept_ms), 12, '0'), 32, '0')::uuid;
  pruned  int;
begin
  delete from es.telemetry_ids i
  using (select t.event_id, t.owner_id from es.telemetry_ids t where t.event_id < oldest
         order by t.event_id, t.owner_id limit batch_max for update skip locked) old
  where i.event_id = old.event_id and i.owner_id = old.owner_id;
  get diagnostics pruned = row_count;
  return pruned;
end
$$;
alter function es.prune_telemetry_ids owner to es_owner;
revoke execute on function es.prune_telemetry_ids from public;
grant execute on function es.prune_telemetry_ids to proofline_writer;
