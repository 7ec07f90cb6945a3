-- The highest epoch of a lease that the index was written under: a worker whose lease was taken over can't write any more.
alter table keys.subject_events_checkpoint add column epoch bigint not null default 0;
