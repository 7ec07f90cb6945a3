-- Key trees: the keys of a tenant's subjects derive from that of the tree of their shard, which stands in keys.subject under an
-- id of its own. Of a tree that somebody was taken out of, the nodes that are left are here, sealed under that key; each time
-- somebody is, the tree gets a new key and a new generation, and the old key is erased.
create table keys.tree (
  tenant_id  uuid     not null,
  shard      smallint not null,
  generation integer  not null,
  key_id     uuid     not null,
  nodes      bytea,
  constraint tree_pkey primary key (tenant_id, shard),
  constraint tree_by_key unique (key_id),
  constraint tree_generation_positive check (generation > 0),
  constraint tree_first_is_whole check ((generation = 1) = (nodes is null))
);
grant select, insert, update on keys.tree to proofline_vault;
