-- Times never decrease with positions, so the place is found by halving: everything before `low` was recorded before the time,
-- nothing from `high` on was.
with recursive search as (
  select 1::bigint as low, $2::bigint as high
  union all
  select case when e.recorded_at < $1 then e.position + 1 else s.low end,
         case when e.recorded_at < $1 then s.high else (s.low + s.high) / 2 end
  from search s
  left join lateral (
    select position, recorded_at from es.events
    where position >= (s.low + s.high) / 2 and position < s.high
    order by position
    limit 1
  ) e on true
  where s.low < s.high
)
select low as "position!" from search where low >= high
