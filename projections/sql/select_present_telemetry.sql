select position from {table:Identifier}
where position > {after:Int64} and position <= {to:Int64}
  and received_at between fromUnixTimestamp64Micro({since:Int64}, 'UTC') and fromUnixTimestamp64Micro({until:Int64}, 'UTC')
