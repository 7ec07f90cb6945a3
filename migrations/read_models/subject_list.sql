-- The records of an account's people: one row per person, with nothing personal in it. `record` is the folded aggregate;
-- `due_at` is the earliest date by which one of the open requests has to be answered. Run with search_path set to the
-- version's own schema.
create table subject (
  subject_id            uuid        not null,
  account_id            uuid        not null,
  record                json        not null,
  due_at                timestamptz,
  erasure               text        not null,
  held                  boolean     not null,
  erasure_requested_by  uuid,
  erasure_requested_for uuid,
  certificate           text,
  version               bigint      not null,
  position              bigint      not null,
  registered_at         timestamptz not null,
  updated_at            timestamptz not null,
  constraint subject_erasure_known check (erasure in ('none', 'requested', 'erased', 'certified')),
  constraint subject_erasure_cause check ((erasure = 'none') = (erasure_requested_by is null)
                                          and (erasure = 'none') = (erasure_requested_for is null))
);

-- After the rows are loaded: an index is built once, and COPY passes no row-level security.
alter table subject add constraint subject_pkey primary key (subject_id);
create index subject_by_account on subject (account_id, position);
create index subject_open on subject (account_id, due_at) where due_at is not null;
create index subject_by_identity on subject using gin (((record -> 'identities')::jsonb));
create index subject_to_erase on subject (position) where erasure in ('requested', 'erased');
alter table subject enable row level security;
create policy subject_of_account on subject for select to proofline_reader
  using (account_id = nullif(current_setting('proofline.account', true), '')::uuid);
create policy subject_all on subject to proofline_projector using (true) with check (true);

-- People by any id that they are known by. As a function, because no policy lets an index on JSON be used; what it finds is of
-- the account that it is given and that is set.
create function subject_known_as(account uuid, among uuid[]) returns setof subject
language sql stable security definer set search_path from current
as $$
  select * from subject
  where account_id = account and account_id = nullif(current_setting('proofline.account', true), '')::uuid
    and (subject_id = any (among) or (record -> 'identities')::jsonb operator(pg_catalog.?|) among::text[])
$$;
revoke execute on function subject_known_as(uuid, uuid[]) from public;
grant execute on function subject_known_as(uuid, uuid[]) to proofline_reader;
