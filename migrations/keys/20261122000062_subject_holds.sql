-- Whose key a row is about. Without a default: a build from before there were key trees can store no key that nobody would
-- look for.
alter table keys.subject add column holds text;
update keys.subject set holds = case tenant_id when '00000000-0000-0000-0000-000000000000' then 'platform' else 'subject' end;
alter table keys.subject alter column holds set not null;
alter table keys.subject add constraint subject_holds check (holds in ('subject', 'tree', 'platform'));
