-- Where copies of keys are kept, by what that place calls itself: written once, and compared whenever keys are copied. A process
-- that was given another place would copy to where nobody looks.
create table keys.copies_place (
  id        uuid        not null,
  bound_at  timestamptz not null default clock_timestamp(),
  singleton bool        not null default true,
  constraint copies_place_pkey primary key (singleton),
  constraint copies_place_singleton check (singleton)
);
grant select, insert on keys.copies_place to proofline_vault;
