-- One row for each opening of personal data: who, why, whose. Never what was seen: `what` holds counts and ids. Append-only;
-- rows may go when their time is over, and only then.
create table es.access_log (
  id          bigint      not null generated always as identity,
  tenant_id   uuid        not null,
  accessed_at timestamptz not null default clock_timestamp(),
  actor       text        not null,
  purpose     text        not null,
  subject_ids uuid[]      not null,
  what        jsonb       not null,
  constraint access_log_pkey primary key (id),
  constraint access_log_actor_short check (length(actor) between 1 and 200),
  constraint access_log_purpose_code check (purpose ~ '^[a-z][a-z0-9_]{0,62}$'),
  constraint access_log_what_object check (jsonb_typeof(what) = 'object')
);
alter table es.access_log owner to es_owner;
create index access_log_tenant on es.access_log (tenant_id, id);
create index access_log_age on es.access_log (accessed_at);
create trigger access_log_immutable before update or truncate on es.access_log
  for each statement execute function es.deny();
create trigger access_log_kept before delete on es.access_log
  for each row execute function es.keep_access();

alter table es.access_log enable row level security;
create policy accesses_of_audited_account on es.access_log for select to proofline_compliance
  using (tenant_id = nullif(current_setting('proofline.account', true), '')::uuid);
grant select on es.access_log to proofline_compliance;
