-- The notifications of a site. Run with search_path set to the version's own schema.
create table notification (
  notification_id uuid        not null,
  account_id      uuid        not null,
  site_id         uuid        not null,
  name            text        not null,
  message         text        not null,
  status          text        not null,
  version         bigint      not null,
  position        bigint      not null,
  drafted_at      timestamptz not null,
  updated_at      timestamptz not null,
  constraint notification_status_known check (status in ('draft', 'published', 'paused', 'archived'))
);

-- After the rows are loaded: an index is built once, and COPY passes no row-level security.
alter table notification add constraint notification_pkey primary key (notification_id);
create index notification_by_site on notification (site_id, position);
alter table notification enable row level security;
create policy notification_of_account on notification for select to proofline_reader
  using (account_id = nullif(current_setting('proofline.account', true), '')::uuid);
create policy notification_all on notification to proofline_projector using (true) with check (true);
