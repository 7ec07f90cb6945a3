-- The stored result of every command that came with a client's key: ids, version and position, never a body.
create table es.commands (
  tenant_id      uuid        not null,
  command_id     uuid        not null,
  request_hash   bytea       not null,
  aggregate_type text        not null,
  aggregate_id   text        not null,
  version        bigint      not null,
  event_count    int         not null,
  last_position  bigint      not null,
  recorded_at    timestamptz not null,
  constraint commands_pkey primary key (tenant_id, command_id),
  constraint commands_request_hash_length check (octet_length(request_hash) = 32)
);
alter table es.commands owner to es_owner;
grant select on es.commands to proofline_writer;
