-- The provider's keys that wrap subjects' keys. A retired one wraps no new key; a destroyed one opens nothing any more, and
-- the receipt is the provider's word for it. Rows stay: certificates of erasure name them.
create table keys.provider_key (
  id           text        not null,
  retired_at   timestamptz,
  destroyed_at timestamptz,
  final_at     timestamptz,
  receipt      text,
  constraint provider_key_pkey primary key (id),
  constraint provider_key_retired_first check (destroyed_at is null or retired_at is not null),
  constraint provider_key_receipt check ((destroyed_at is null) = (receipt is null) and (destroyed_at is null) = (final_at is null))
);
insert into keys.provider_key (id) select distinct provider_key_id from keys.subject;
grant select, insert, update on keys.provider_key to proofline_vault;
