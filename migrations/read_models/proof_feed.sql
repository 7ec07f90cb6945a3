-- What a shop's pages may show: one row per activity that was not withdrawn. `buyer` is the sealed envelope as it stands
-- in the log, and `event_id` the event that it is sealed for. Run with search_path set to the version's own schema.
create table proof (
  activity_id uuid        not null,
  account_id  uuid        not null,
  site_id     uuid        not null,
  kind        text        not null,
  product     text,
  buyer       json,
  event_id    uuid        not null,
  version     bigint      not null,
  position    bigint      not null,
  occurred_at timestamptz not null,
  constraint proof_kind_known check (kind in ('order', 'sign_up', 'review', 'custom'))
);

-- After the rows are loaded: an index is built once, and COPY passes no row-level security.
alter table proof add constraint proof_pkey primary key (activity_id);
create index proof_by_site on proof (site_id, occurred_at desc, activity_id);
alter table proof enable row level security;
create policy proof_of_account on proof for select to proofline_reader
  using (account_id = nullif(current_setting('proofline.account', true), '')::uuid);
create policy proof_all on proof to proofline_projector using (true) with check (true);
