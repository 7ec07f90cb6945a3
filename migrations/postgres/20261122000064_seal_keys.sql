-- Who may sign: statements, each signed by the key before the one that it introduces. In order of `place`.
create table es.seal_keys (
  place int  not null,
  note  text not null,
  constraint seal_keys_pkey primary key (place),
  constraint seal_keys_place_positive check (place > 0)
);
alter table es.seal_keys owner to es_owner;
create trigger seal_keys_immutable before update or delete or truncate on es.seal_keys
  for each statement execute function es.deny();
grant select, insert on es.seal_keys to proofline_sealer;
