select ordinal as "ordinal!", status as "status!", aggregate_id as "aggregate_id!", version as "version!",
       last_position as "last_position!"
from es.append(
  c_id => $1, c_request_hash => $2, c_tenant => $3, c_type => $4, c_aggregate => $5, c_bucket => $6,
  c_expected => $7, c_actor => $8, c_correlation => $9, c_causation => $10, c_metadata => $11,
  e_command => $12, e_id => $13, e_type => $14, e_version => $15, e_payload => $16)
order by ordinal
