-- The first row, by its key, in which two versions of a read model differ, and the first column of it; no column where only
-- one has the row, and nothing where they are equal. No value is told: a row may hold personal data.
create function es.compare_read_models(model text, one int, other int)
returns table (row_key text, column_name text)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  table_name text;
  key_name   text;
begin
  -- Each has one table, whose primary key is one column.
  select c.relname, a.attname into table_name, key_name
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
  join pg_index i on i.indrelid = c.oid and i.indisprimary
  join pg_attribute a on a.attrelid = c.oid and a.attnum = i.indkey[0]
  where n.nspname = format('rm_%s_v%s', model, one) and c.relkind = 'r';
  return query execute format(
    $query$
      select d.key::text, c.name
      from (
        select coalesce(a.key, b.key) as key, a.content as one, b.content as other
        from (select t.%1$I as key, row_to_json(t) as content from %2$I.%4$I t) a
        full join (select t.%1$I as key, row_to_json(t) as content from %3$I.%4$I t) b on a.key = b.key
        where a.content::text is distinct from b.content::text
        order by 1 limit 1
      ) d
      left join lateral (
        select x.key as name
        from json_each_text(d.one) with ordinality x(key, value, place)
        join json_each_text(d.other) y on y.key = x.key
        where x.value is distinct from y.value
        order by x.place limit 1
      ) c on true
    $query$,
    key_name, format('rm_%s_v%s', model, one), format('rm_%s_v%s', model, other), table_name);
end
$$;
revoke execute on function es.compare_read_models from public;
grant execute on function es.compare_read_models to proofline_projector;
