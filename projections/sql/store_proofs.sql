insert into proof (
  activity_id, account_id, site_id, kind, product, buyer, event_id, version, position, occurred_at
)
select
  activity_id, account_id, site_id, kind, product, buyer::json, event_id, version, position, occurred_at
from unnest(
  $1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::uuid[], $8::bigint[], $9::bigint[],
  $10::timestamptz[]
) r(
  activity_id, account_id, site_id, kind, product, buyer, event_id, version, position, occurred_at
)
on conflict (activity_id) do update set
  account_id = excluded.account_id, site_id = excluded.site_id, kind = excluded.kind, product = excluded.product,
  buyer = excluded.buyer, event_id = excluded.event_id, version = excluded.version, position = excluded.position,
  occurred_at = excluded.occurred_at
