-- The sites of an account. Run with search_path set to the version's own schema.
create table site (
  site_id            uuid        not null,
  account_id         uuid        not null,
  name               text        not null,
  domain             text        not null,
  embed_key          text        not null,
  feed_items_max     smallint    not null,
  feed_age_hours_max smallint    not null,
  version            bigint      not null,
  position           bigint      not null,
  registered_at      timestamptz not null,
  updated_at         timestamptz not null,
  data_region        text
);

-- After the rows are loaded: an index is built once, and COPY passes no row-level security.
alter table site add constraint site_pkey primary key (site_id);
alter table site add constraint site_embed_key_unique unique (embed_key);
create index site_by_account on site (account_id, position);
alter table site enable row level security;
create policy site_of_account on site for select to proofline_reader
  using (account_id = nullif(current_setting('proofline.account', true), '')::uuid);
create policy site_all on site to proofline_projector using (true) with check (true);

-- A shop page knows its embed key and not its account: the only read that crosses accounts, by an unguessable key.
create function site_by_embed_key(key text) returns setof site
language sql stable security definer set search_path from current
as $$ select * from site where embed_key = key $$;
revoke execute on function site_by_embed_key(text) from public;
grant execute on function site_by_embed_key(text) to proofline_reader;
