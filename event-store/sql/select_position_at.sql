-- Times never decrease with positions, so the last one is found by halving. A hole in the log finds nothing.
with recursive search as (
  select 0::bigint as low, coalesce((select position from es.events order by position desc limit 1), 0) as high
  union all
  select case when e.recorded_at <= $1 then e.position else s.low end,
         case when e.recorded_at <= $1 then s.high else e.position - 1 end
  from search s
  join es.events e on e.position = (s.low + s.high + 1) / 2
  where s.low < s.high
)
select case when $1 <= clock_timestamp() then low end as "position?"
from search
where low = high
