-- What the platform's own secrets derive from, wrapped by a key of a remote key provider that wraps nothing else. Written once, by the
-- first process. With a key file the root stands there, and here is none.
create table keys.root (
  provider_key_id text        not null,
  wrapped         bytea       not null,
  made_at         timestamptz not null default clock_timestamp(),
  singleton       bool        not null default true,
  constraint root_pkey primary key (singleton),
  constraint root_singleton check (singleton)
);
grant select, insert on keys.root to proofline_vault;
