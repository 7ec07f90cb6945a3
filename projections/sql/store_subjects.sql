insert into subject (
  subject_id, account_id, record, due_at, erasure, held, erasure_requested_by, erasure_requested_for, certificate,
  version, position, registered_at, updated_at
)
select
  subject_id, account_id, record::json, due_at, erasure, held, erasure_requested_by, erasure_requested_for, certificate,
  version, position, registered_at, updated_at
from unnest(
  $1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[], $5::text[], $6::boolean[], $7::uuid[], $8::uuid[], $9::text[],
  $10::bigint[], $11::bigint[], $12::timestamptz[], $13::timestamptz[]
) r(
  subject_id, account_id, record, due_at, erasure, held, erasure_requested_by, erasure_requested_for, certificate,
  version, position, registered_at, updated_at
)
on conflict (subject_id) do update set
  account_id = excluded.account_id, record = excluded.record, due_at = excluded.due_at, erasure = excluded.erasure,
  held = excluded.held, erasure_requested_by = excluded.erasure_requested_by,
  erasure_requested_for = excluded.erasure_requested_for, certificate = excluded.certificate,
  version = excluded.version, position = excluded.position, registered_at = excluded.registered_at,
  updated_at = excluded.updated_at
