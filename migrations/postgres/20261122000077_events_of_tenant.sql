-- One account's events by position, so that a page of them costs what the page has and not what the log has. New
-- partitions get it when they are attached.
create index events_tenant on es.events (tenant_id, position);
