-- The processes that project. A worker's leases hold for as long as it is alive, which it says again and again by moving
-- one row; who is not heard of in time loses them all. `projects` is false for a tool that drives a version by itself.
create table es.workers (
  worker_id   text        not null,
  projects    boolean     not null,
  started_at  timestamptz not null default clock_timestamp(),
  alive_until timestamptz not null,
  constraint workers_pkey primary key (worker_id)
) with (fillfactor = 50);
alter table es.workers owner to es_owner;
grant select on es.workers to proofline_writer, proofline_reader;
grant select, insert, update, delete on es.workers to proofline_projector;
