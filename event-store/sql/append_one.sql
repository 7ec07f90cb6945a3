select status as "status!", aggregate_id as "aggregate_id!", version as "version!", last_position as "last_position!"
from es.append_one(
  log_incarnation => $1,
  c_id => $2, c_request_hash => $3, c_tenant => $4, c_type => $5, c_aggregate => $6, c_bucket => $7,
  c_expected => $8, c_actor => $9, c_correlation => $10, c_causation => $11, c_metadata => $12::text::json,
  e_id => $13, e_type => $14, e_version => $15, e_payload => $16::text[]::json[])
