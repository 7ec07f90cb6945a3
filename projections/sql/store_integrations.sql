insert into integration (
  integration_id, account_id, site_id, platform, shop_domain, version, position, connected_at
)
select
  integration_id, account_id, site_id, platform, shop_domain, version, position, connected_at
from unnest(
  $1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::timestamptz[]
) r(
  integration_id, account_id, site_id, platform, shop_domain, version, position, connected_at
)
on conflict (integration_id) do update set
  account_id = excluded.account_id, site_id = excluded.site_id, platform = excluded.platform,
  shop_domain = excluded.shop_domain, version = excluded.version, position = excluded.position,
  connected_at = excluded.connected_at
