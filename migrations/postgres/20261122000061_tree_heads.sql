-- What was signed for the log: after so many events of an incarnation the root of their Merkle tree was this. The note is the
-- signed text itself; the other columns say where it belongs.
create table es.tree_heads (
  incarnation uuid   not null,
  size        bigint not null,
  note        text   not null,
  constraint tree_heads_pkey primary key (incarnation, size),
  constraint tree_heads_size_positive check (size > 0)
);
alter table es.tree_heads owner to es_owner;
create trigger tree_heads_immutable before update or delete or truncate on es.tree_heads
  for each statement execute function es.deny();
grant select, insert on es.tree_heads to proofline_sealer;
