-- Subjects that are erased and still have to be taken out of their tree.
create index subject_to_puncture on keys.subject (tenant_id)
  where holds = 'subject' and erased_at is not null and provider_key_id is null;
