-- The heads of the $1 streams of a log of $2 events, as fill_events.sql makes them.
insert into es.streams (aggregate_type, aggregate_id, tenant_id, version, first_position, last_position)
select 'notification', md5('stream ' || n)::uuid::text, $3, ($2 - n - 1) / $1 + 1, n + 1,
       ($2 - n - 1) / $1 * $1 + n + 1
from generate_series(0, $1::bigint - 1) n
