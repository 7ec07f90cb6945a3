-- The cluster and the timeline that a log was written in last; null before the first. A log that is found in another one
-- came there by a restore or a promotion, which may have lost its tail.
alter table es.log
  add column system_identifier bigint,
  add column timeline int;
