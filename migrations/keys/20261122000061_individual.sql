-- Tenants some of whose subjects have, or had, a key of their own in keys.subject, as all had before there were key trees. Whoever
-- has one keeps it.
create table keys.individual (
  tenant_id uuid not null,
  constraint individual_pkey primary key (tenant_id)
);
insert into keys.individual select distinct tenant_id from keys.subject where provider_key_id is not null;
grant select, insert on keys.individual to proofline_vault;
