-- Every note that was signed, as an anchor has it, in the order in which those who are told of them one by one are told. Only who
-- holds the lock that sealers take turns by writes here, so that what is committed later has a later place. No path is unique but
-- a tombstone's: of two heads for one path, as of a log that was forked, both are told.
create table es.seal_notes (
  place    bigint      not null,
  noted_at timestamptz not null default clock_timestamp(),
  kind     text        not null,
  path     text        not null,
  note     text        not null,
  constraint seal_notes_pkey primary key (place),
  constraint seal_notes_kind_known check (kind in ('head', 'key', 'tombstone'))
);
create unique index seal_notes_tombstone on es.seal_notes (path) where kind = 'tombstone';
alter table es.seal_notes owner to es_owner;
create trigger seal_notes_immutable before update or delete or truncate on es.seal_notes
  for each statement execute function es.deny();
grant select, insert on es.seal_notes to proofline_sealer;

-- By triggers, so that what a process of an earlier build signs is noted, too.
create function es.note_signed() returns trigger
language plpgsql as $$
declare
  called text;
begin
  if tg_argv[0] = 'key' then
    called := format('keys/%s.txt', lpad(new.place::text, 6, '0'));
  else
    called := format('%s/heads/%s.txt', new.incarnation, lpad(new.size::text, 20, '0'));
  end if;
  insert into es.seal_notes (place, kind, path, note)
  select coalesce(max(place), 0) + 1, tg_argv[0], called, new.note from es.seal_notes;
  return null;
end
$$;
alter function es.note_signed() owner to es_owner;

-- Nobody signs between the triggers and what was signed before them.
select pg_advisory_xact_lock(20261121, 4);
create trigger seal_keys_noted after insert on es.seal_keys for each row execute function es.note_signed('key');
create trigger tree_heads_noted after insert on es.tree_heads for each row execute function es.note_signed('head');
-- In the order in which it was signed; of one moment, who signs before what they signed. Tombstones are at the anchor only, from
-- where whoever erases takes them over.
insert into es.seal_notes (place, kind, path, note)
select row_number() over (order by signed_at collate "C", kind desc, n), kind, path, note
from (
  select 'key' as kind, place as n, format('keys/%s.txt', lpad(place::text, 6, '0')) as path, note,
         substring(note from '\ncreated_at ([^\n]+)') as signed_at
  from es.seal_keys
  union all
  select 'head', size, format('%s/heads/%s.txt', incarnation, lpad(size::text, 20, '0')), note,
         substring(note from '\nsigned_at ([^\n]+)')
  from es.tree_heads
) signed;
