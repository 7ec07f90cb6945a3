-- Writes a new version down, under a number that no version of the projection has. Where $3, the keys that wait in the
-- served version $4 wait in the new one too, or are tried again in both.
with announced as (
  insert into es.projection_versions (name, version, revision, phase)
  select $1, max(version) + 1, $2, 'building' from es.projection_versions where name = $1
  returning name, version
), parked as (
  insert into es.parked_keys (name, version, bucket, position_from, retry)
  select name, announced.version, k.bucket, k.position_from, k.retry
  from announced join es.parked_keys k using (name)
  where $3 and k.version = $4
), letters as (
  insert into es.dead_letters (name, version, position, bucket, error, attempts)
  select name, announced.version, d.position, d.bucket, d.error, d.attempts
  from announced join es.dead_letters d using (name)
  where $3 and d.version = $4 and d.projected_at is null and d.discarded_at is null
)
select version from announced
