-- Notes that somebody opened personal data; the only way into es.access_log.
create function es.note_access(tenant uuid, actor text, purpose text, subjects uuid[], what jsonb) returns void
language sql volatile security definer set search_path = pg_catalog, es, pg_temp as $$
  insert into es.access_log (tenant_id, actor, purpose, subject_ids, what)
  values (note_access.tenant, note_access.actor, note_access.purpose, note_access.subjects, note_access.what)
$$;
alter function es.note_access owner to es_owner;
revoke execute on function es.note_access from public;
grant execute on function es.note_access to proofline_writer, proofline_compliance;
