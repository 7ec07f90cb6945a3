-- The leaves of the log's Merkle tree, 4,096 of 32 bytes in a tile: what tells which event was altered, and what proofs are made
-- of. The last tile of an incarnation grows. `root` is that of its leaves.
create table es.tree_tiles (
  incarnation uuid   not null,
  tile        bigint not null,
  root        bytea  not null,
  leaves      bytea  not null,
  constraint tree_tiles_pkey primary key (incarnation, tile),
  constraint tree_tiles_root_length check (octet_length(root) = 32),
  constraint tree_tiles_leaves_length check (octet_length(leaves) between 32 and 131072 and octet_length(leaves) % 32 = 0)
);
-- Hashes don't compress.
alter table es.tree_tiles alter column leaves set storage external;
alter table es.tree_tiles owner to es_owner;
create trigger tree_tiles_grow before update on es.tree_tiles
  for each row execute function es.keep_full_tile();
create trigger tree_tiles_kept before delete or truncate on es.tree_tiles
  for each statement execute function es.deny();
grant select, insert, update on es.tree_tiles to proofline_sealer;
