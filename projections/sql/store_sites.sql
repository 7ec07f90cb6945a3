insert into site (
  site_id, account_id, name, domain, embed_key, feed_items_max, feed_age_hours_max, version, position,
  registered_at, updated_at, data_region
)
select
  site_id, account_id, name, domain, embed_key, feed_items_max, feed_age_hours_max, version, position,
  registered_at, updated_at, data_region
from unnest(
  $1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::smallint[], $7::smallint[], $8::bigint[],
  $9::bigint[], $10::timestamptz[], $11::timestamptz[], $12::text[]
) r(
  site_id, account_id, name, domain, embed_key, feed_items_max, feed_age_hours_max, version, position,
  registered_at, updated_at, data_region
)
on conflict (site_id) do update set
  account_id = excluded.account_id, name = excluded.name, domain = excluded.domain,
  embed_key = excluded.embed_key, feed_items_max = excluded.feed_items_max,
  feed_age_hours_max = excluded.feed_age_hours_max, version = excluded.version, position = excluded.position,
  registered_at = excluded.registered_at, updated_at = excluded.updated_at,
  data_region = excluded.data_region
