-- A subject that is erased before it had a key is noted, too, so that nothing is sealed for it later.
alter table keys.subject alter column provider_key_id drop not null;
alter table keys.subject add constraint subject_wrapped_by check (wrapped_key is null or provider_key_id is not null);
-- For wrapping anew what a retired key wraps.
create index subject_by_provider_key on keys.subject (provider_key_id, subject_id) where wrapped_key is not null;
-- For hearing of erasures.
create index subject_erased on keys.subject (erased_at) where erased_at is not null;
