-- The positions of the domain log that hold a subject's data. Filled from the log itself, with its checkpoint in the
-- same database, so that it is complete up to that checkpoint whatever crashed when.
create table keys.subject_events (
  subject_id uuid   not null,
  position   bigint not null,
  constraint subject_events_pkey primary key (subject_id, position)
);
create table keys.subject_events_checkpoint (
  incarnation uuid   not null,
  position    bigint not null,
  singleton   bool   not null default true,
  constraint subject_events_checkpoint_pkey primary key (singleton),
  constraint subject_events_checkpoint_singleton check (singleton)
);
