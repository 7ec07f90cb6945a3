-- The versions of every projection that stand somewhere. A version is a whole of its own: schema, keys or tables, and
-- checkpoints. `live` ones are driven by the platform's workers, whether they are served (es.active_view) or stand by;
-- one that is `building` belongs to the tool that builds it. `revision` is that of the code that can drive it.
create table es.projection_versions (
  name       text        not null,
  version    int         not null,
  revision   int         not null default 1,
  phase      text        not null,
  created_at timestamptz not null default clock_timestamp(),
  constraint projection_versions_pkey primary key (name, version),
  constraint projection_versions_version_positive check (version > 0),
  constraint projection_versions_phase_known check (phase in ('building', 'live'))
);
alter table es.projection_versions owner to es_owner;
grant select on es.projection_versions to proofline_writer, proofline_reader;
grant select, insert, update, delete on es.projection_versions to proofline_projector;
grant insert, update, delete on es.active_view to proofline_projector;
grant delete on es.projections to proofline_projector;

insert into es.projection_versions (name, version, phase)
select name, 1, 'live'
from unnest(array['site_list', 'notification_list', 'integration_list', 'proof_feed', 'telemetry_counters',
                  'telemetry_facts', 'subject_events']) name;
insert into es.active_view (name, version)
select name, version from es.projection_versions on conflict do nothing;
