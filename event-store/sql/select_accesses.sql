select id, accessed_at, actor, purpose, subject_ids as subjects, what
from es.access_log
where id < $1 and ($2::timestamptz is null or accessed_at >= $2)
order by id desc
limit $3
