-- The events that could not be projected, and what became of each: projected later, or discarded by somebody who gave a
-- reason. Never a payload: that stands in the log. What was decided is there for good.
create table es.dead_letters (
  name         text        not null,
  version      int         not null,
  position     bigint      not null,
  bucket       smallint    not null,
  error        text        not null,
  attempts     int         not null,
  parked_at    timestamptz not null default clock_timestamp(),
  projected_at timestamptz,
  discarded_at timestamptz,
  discarded_by text,
  reason       text,
  constraint dead_letters_pkey primary key (name, version, position),
  constraint dead_letters_one_end check (projected_at is null or discarded_at is null),
  constraint dead_letters_discarded_whole check ((discarded_at is null) = (discarded_by is null)
    and (discarded_at is null) = (reason is null)),
  constraint dead_letters_reason_given check (reason <> '')
);
alter table es.dead_letters owner to es_owner;
grant select on es.dead_letters to proofline_writer, proofline_reader;
grant select, insert on es.dead_letters to proofline_projector;
grant update (error, attempts, projected_at, discarded_at, discarded_by, reason) on es.dead_letters to proofline_projector;

create function es.keep_decision() returns trigger
language plpgsql as $$
begin
  if old.discarded_at is not null then
    raise exception 'that % was discarded at position % is there for good', old.name, old.position using errcode = 'ES905';
  end if;
  return new;
end
$$;
alter function es.keep_decision() owner to es_owner;
create trigger dead_letters_decided before update on es.dead_letters
  for each row execute function es.keep_decision();
create trigger dead_letters_kept before delete or truncate on es.dead_letters
  for each statement execute function es.deny();
