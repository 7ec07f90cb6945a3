-- Hashes of requests that name people, or bear secrets, and were made without one: what was sent could be tried out by them, for
-- ever. A repeat of such a request finds what it would make, and is answered the same.
delete from es.commands where aggregate_type in ('activity', 'integration');
