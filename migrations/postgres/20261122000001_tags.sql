-- Which events a consistency boundary holds: a command's condition asks whether an event with certain tags came after a
-- position. A tag is a keyed hash, the first 16 bytes of HMAC-SHA-256 of its text, which is stored nowhere. Written by the
-- append lane with the event; may be deleted, since nothing rests on it but conditions.
create table es.tags (
  tag      bytea  not null,
  position bigint not null,
  constraint tags_pkey primary key (tag, position),
  constraint tags_tag_length check (octet_length(tag) = 16)
);
alter table es.tags owner to es_owner;
