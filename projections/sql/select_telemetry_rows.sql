select * from {table:Identifier} where position > {after:Int64} and position <= {to:Int64} order by position
