-- Where the data of this database may lie. Said once; nobody takes it back.
create table keys.region (
  only_one boolean     not null default true,
  name     text        not null,
  bound_at timestamptz not null default clock_timestamp(),
  constraint region_pkey primary key (only_one),
  constraint region_is_one check (only_one),
  constraint region_name check (name ~ '^[a-z0-9-]{1,32}$')
);
grant select on keys.region to proofline_vault;
