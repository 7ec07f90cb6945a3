-- Everything that is written down of a version, except what somebody decided.
with intents as (
  delete from es.intents where name = $1 and version = $2
), letters as (
  delete from es.dead_letters where name = $1 and version = $2 and discarded_at is null
), parked as (
  delete from es.parked_keys where name = $1 and version = $2
), checkpoints as (
  delete from es.projections where name = $1 and version = $2
)
delete from es.projection_versions where name = $1 and version = $2
