select count() from system.processes
where startsWith(Settings['insert_deduplication_token'], {tokens:String}) and query_id != queryID()
