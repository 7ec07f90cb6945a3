select status as "status!", aggregate_id as "aggregate_id!", version as "version!", last_position as "last_position!"
from es.append(
  log_incarnation => $1,
  c_id => $2, c_request_hash => $3, c_tenant => $4, c_type => $5, c_aggregate => $6, c_bucket => $7,
  c_expected => $8, c_events => $9, c_actor => $10, c_correlation => $11, c_causation => $12, c_metadata => $13::text[]::json[],
  c_condition => $14,
  e_command => $15, e_nth => $16, e_id => $17, e_type => $18, e_version => $19, e_payload => $20::text[]::json[],
  t_command => $21, t_nth => $22, t_tag => $23)
order by ordinal
