select id, accessed_at, actor, purpose, subject_ids as subjects, what
from es.access_log
where id < $1
  and ($3::text is null or actor = $3)
  and ($4::text is null or purpose = $4)
  and ($5::uuid is null or $5 = any (subject_ids))
  and ($6::timestamptz is null or accessed_at >= $6)
  and ($7::timestamptz is null or accessed_at < $7)
order by id desc
limit $2
