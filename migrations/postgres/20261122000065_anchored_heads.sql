-- Which heads were written where outside of this database. No proof of anything: who verifies asks the anchor itself.
create table es.anchored_heads (
  anchor      text        not null,
  incarnation uuid        not null,
  size        bigint      not null,
  anchored_at timestamptz not null default clock_timestamp(),
  constraint anchored_heads_pkey primary key (anchor, incarnation, size),
  constraint anchored_heads_head_fkey foreign key (incarnation, size) references es.tree_heads (incarnation, size)
);
alter table es.anchored_heads owner to es_owner;
grant select, insert on es.anchored_heads to proofline_sealer;
