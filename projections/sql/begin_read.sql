-- One statement sets what the transaction may see and tells the position that its snapshot stands at. Where one of the
-- models was never projected, nothing was.
select set_config('proofline.account', $1, true) as "account!",
       set_config('search_path', served.schemas, true) as "search_path!",
       case when progress.names = cardinality($2::text[]) then progress.checkpoint else 0 end as "position!",
       log.incarnation as "incarnation!"
from es.log log,
     (select coalesce(string_agg(quote_ident(format('rm_%s_v%s', v.name, v.version)), ', '), '') as schemas
      from es.active_view v where v.name = any($2)) served,
     (select count(distinct p.name) as names, coalesce(min(p.checkpoint), 0) as checkpoint
      from es.projections p join es.active_view v using (name, version) where p.name = any($2)) progress
where log.name = 'events'
