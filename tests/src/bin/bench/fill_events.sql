-- The events $1 to $2 of a log of $3 streams that grow by turns: what the lane writes for one command with one event each.
-- `bucket` is event_store::Bucket::of the stream's id. Ids are hashes, so that a stream's place in an index is a random one,
-- as it is for what comes from outside with an identity of its own.
insert into es.events (position, tenant_id, aggregate_type, aggregate_id, sequence, bucket, event_id, event_type,
                       event_version, recorded_at, command_id, correlation_id, causation_id, actor, payload, metadata)
select n.position, $4, 'notification', n.stream::text, (n.position - 1) / $3 + 1,
       ((get_byte(n.owner_hash, 0) << 8) + get_byte(n.owner_hash, 1)) % 1024,
       md5('event ' || n.position)::uuid, $5, $6, $9 + n.position * interval '1 microsecond',
       n.command, n.command, null, 'bench', $7, $8
from (select m.*, sha256(uuid_send(m.stream)) as owner_hash
      from (select p.position, md5('stream ' || (p.position - 1) % $3)::uuid as stream,
                   md5('command ' || p.position)::uuid as command
            from generate_series($1::bigint, $2::bigint) p(position) offset 0) m offset 0) n
