-- Whoever owns something here, or was granted something.
with acl as (
  select nspacl as acl, nspowner as owner from pg_namespace where not starts_with(nspname, 'pg_') and nspname <> 'information_schema'
  union all
  select c.relacl, c.relowner from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where not starts_with(n.nspname, 'pg_') and n.nspname <> 'information_schema'
  union all
  select p.proacl, p.proowner from pg_proc p join pg_namespace n on n.oid = p.pronamespace
  where not starts_with(n.nspname, 'pg_') and n.nspname <> 'information_schema'
)
select rolname::text from pg_roles
where (oid in (select owner from acl) or oid in (select (aclexplode(acl)).grantee from acl))
  and not starts_with(rolname, 'pg_')
order by 1
