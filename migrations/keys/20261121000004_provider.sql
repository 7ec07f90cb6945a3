-- Which key provider's keys wrap the keys here: written once, by the first process, and compared by every other. A process
-- that was given another key file would seal what nobody else can open.
create table keys.provider (
  fingerprint bytea       not null,
  bound_at    timestamptz not null default clock_timestamp(),
  singleton   bool        not null default true,
  constraint provider_pkey primary key (singleton),
  constraint provider_singleton check (singleton),
  constraint provider_fingerprint_length check (octet_length(fingerprint) = 32)
);
grant select, insert on keys.provider to proofline_vault;
