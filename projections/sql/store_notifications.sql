insert into notification (
  notification_id, account_id, site_id, name, message, status, version, position, drafted_at, updated_at
)
select
  notification_id, account_id, site_id, name, message, status, version, position, drafted_at, updated_at
from unnest(
  $1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::bigint[],
  $9::timestamptz[], $10::timestamptz[]
) r(
  notification_id, account_id, site_id, name, message, status, version, position, drafted_at, updated_at
)
on conflict (notification_id) do update set
  account_id = excluded.account_id, site_id = excluded.site_id, name = excluded.name, message = excluded.message,
  status = excluded.status, version = excluded.version, position = excluded.position,
  drafted_at = excluded.drafted_at, updated_at = excluded.updated_at
