-- The data key of every data subject, wrapped by a bucket key that only the key provider holds. A database of its own:
-- a backup of the events holds no keys, and the other way round.
create schema keys;
create table keys.subject (
  subject_id      uuid        not null,
  tenant_id       uuid        not null,
  bucket          smallint    not null,
  provider_key_id text        not null,
  wrapped_key     bytea,
  created_at      timestamptz not null default clock_timestamp(),
  erased_at       timestamptz,
  constraint subject_pkey primary key (subject_id),
  constraint subject_erased_has_no_key check ((wrapped_key is null) = (erased_at is not null))
);
