-- Which version of a read model is served.
create table es.active_view (
  name         text        not null,
  version      int         not null,
  activated_at timestamptz not null default clock_timestamp(),
  constraint active_view_pkey primary key (name)
);
alter table es.active_view owner to es_owner;
grant select on es.active_view to proofline_projector, proofline_reader;
