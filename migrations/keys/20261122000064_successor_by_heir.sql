-- For finding what a key descends from.
create index successor_by_heir on keys.successor (successor_id);
