-- A receiver that takes nothing is left alone by all processes together, and by one that was just started.
-- What waits behind this waits for who holds the table, such as a backup.
set local lock_timeout = '5s';
alter table es.webhooks
  add column failures   int         not null default 0,
  add column not_before timestamptz not null default '-infinity',
  add constraint webhooks_failures_not_negative check (failures >= 0);
grant update (failures, not_before) on es.webhooks to proofline_sealer;
