-- One row per log. The incarnation changes when a restore or a promotion lost a tail, so that a position that is
-- handed out again is never taken for the one that was lost. The floor is the last position no longer kept hot.
create table es.log (
  name        text        not null,
  incarnation uuid        not null default gen_random_uuid(),
  floor       bigint      not null default 0,
  created_at  timestamptz not null default clock_timestamp(),
  constraint log_pkey primary key (name),
  constraint log_name_known check (name in ('events', 'telemetry'))
);
alter table es.log owner to es_owner;
insert into es.log (name) values ('events'), ('telemetry');
grant select on es.log to proofline_writer, proofline_projector, proofline_reader;
