-- Refuses a statement on an append-only table. ES900 is ours: class ES is unused by Postgres.
create function es.deny() returns trigger
language plpgsql as $$
begin
  raise exception '% on %.% is forbidden: the log is append-only', tg_op, tg_table_schema, tg_table_name
    using errcode = 'ES900';
end
$$;
alter function es.deny() owner to es_owner;
