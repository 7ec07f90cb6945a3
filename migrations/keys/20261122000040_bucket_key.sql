-- Which key of a remote key provider new subjects of a bucket are wrapped under: that of the highest generation. Rows are only
-- added: of several processes that renew a key at once, whoever adds the next generation decides.
create table keys.bucket_key (
  bucket          smallint    not null,
  generation      integer     not null,
  provider_key_id text        not null,
  made_at         timestamptz not null default clock_timestamp(),
  constraint bucket_key_pkey primary key (bucket, generation),
  constraint bucket_key_of_one_bucket unique (provider_key_id),
  constraint bucket_key_generation_positive check (generation > 0)
);
grant select, insert on keys.bucket_key to proofline_vault;
