-- Who is told of each note, and how far that went. No proof of anything: the notes that they keep are.
create table es.webhooks (
  webhook   text   not null,
  delivered bigint not null default 0,
  constraint webhooks_pkey primary key (webhook)
);
alter table es.webhooks owner to es_owner;
-- Who is new begins at the beginning.
grant select, insert (webhook), update (delivered) on es.webhooks to proofline_sealer;
