-- What becomes of a command, in the order in which the rules hold. One place for es.append and es.append_one; a single
-- expression, so that it is inlined into both.
--
-- done_hash is the request hash stored under the command's id, match the position of an event that the command's condition
-- excludes; each is null where there is none, as are the columns of a stream that is not there.
create function es.append_verdict(
  request_hash bytea, done_hash bytea, tenant uuid, stream_tenant uuid, stream_status smallint, stream_version bigint,
  expected bigint, match bigint)
returns text language sql immutable parallel safe
return case
  when done_hash = request_hash then 'duplicate'
  when done_hash is not null then 'key_reused'
  when stream_tenant <> tenant then 'not_found'
  when stream_status = 1 then 'closed'
  when coalesce(stream_version, 0) <> expected then 'conflict'
  when match is not null then 'condition'
  else 'ok'
end;
alter function es.append_verdict owner to es_owner;
revoke execute on function es.append_verdict from public;
