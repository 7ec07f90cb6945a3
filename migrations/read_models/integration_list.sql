-- The integrations of a site; never a secret. Run with search_path set to the version's own schema.
create table integration (
  integration_id uuid        not null,
  account_id     uuid        not null,
  site_id        uuid        not null,
  platform       text        not null,
  shop_domain    text        not null,
  version        bigint      not null,
  position       bigint      not null,
  connected_at   timestamptz not null
);

-- After the rows are loaded: an index is built once, and COPY passes no row-level security.
alter table integration add constraint integration_pkey primary key (integration_id);
create index integration_by_site on integration (site_id, position);
alter table integration enable row level security;
create policy integration_of_account on integration for select to proofline_reader
  using (account_id = nullif(current_setting('proofline.account', true), '')::uuid);
create policy integration_all on integration to proofline_projector using (true) with check (true);
