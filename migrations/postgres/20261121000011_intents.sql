-- The range that a projection is about to write into a sink without transactions of ours (ClickHouse): written down
-- first, so that after a crash exactly the same range goes again under the same deduplication token.
create table es.intents (
  name          text        not null,
  version       int         not null,
  shard         smallint    not null,
  incarnation   uuid        not null,
  position_from bigint      not null,
  position_to   bigint      not null,
  created_at    timestamptz not null default clock_timestamp(),
  constraint intents_pkey primary key (name, version, shard),
  constraint intents_range check (position_to > position_from)
);
alter table es.intents owner to es_owner;
grant select, insert, update, delete on es.intents to proofline_projector;
