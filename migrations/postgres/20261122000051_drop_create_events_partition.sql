-- es.ensure_partitions makes them, ahead of the head.
drop function es.create_events_partition(int);
