//! Who projects what: workers that show that they are alive, and leases of shards that are fenced by epochs.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;

use crate::bucket::{Bucket, SHARDS, Shard};

/// How much of a projection a worker wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// As many shards as every other worker.
    Fair,
    /// All of them: for a tool that drives a version which the platform's workers leave alone.
    All,
}

/// A process that projects. Its leases hold while it beats, and for a while after. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Worker {
    id: Arc<str>,
    share: Share,
    lease: Duration,
}

/// Why a worker could not say that it is alive.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    #[error("could not note that worker {worker} is alive")]
    Beat { worker: String, source: sqlx::Error },
    #[error("could not retire worker {worker}")]
    Retire { worker: String, source: sqlx::Error },
}

impl Worker {
    /// `id` is like no other's, for people to read too; `lease` is how long after its last beat a worker is taken for
    /// dead.
    pub fn new(id: &str, share: Share, lease: Duration) -> Self {
        Self {
            id: id.into(),
            share,
            lease,
        }
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// How often to beat: often enough that one that is lost does no harm.
    pub fn beat_every(&self) -> Duration {
        self.lease / 4
    }

    /// Says that the worker is alive. Time is the database's, so that clocks need not agree.
    pub async fn beat(&self, pool: &PgPool) -> Result<(), WorkerError> {
        sqlx::query!(
            "insert into es.workers (worker_id, projects, alive_until)
             values ($1, $2, clock_timestamp() + make_interval(secs => $3))
             on conflict (worker_id) do update set alive_until = excluded.alive_until",
            &*self.id,
            self.share == Share::Fair,
            self.lease.as_secs_f64()
        )
        .execute(pool)
        .await
        .map_err(|source| WorkerError::Beat {
            worker: self.id.to_string(),
            source,
        })?;
        Ok(())
    }

    /// Gives up every lease at once, and clears away who has not been heard of for a day.
    pub async fn retire(&self, pool: &PgPool) -> Result<(), WorkerError> {
        sqlx::query!(
            "delete from es.workers where worker_id = $1 or alive_until < clock_timestamp() - interval '1 day'",
            &*self.id
        )
        .execute(pool)
        .await
        .map_err(|source| WorkerError::Retire {
            worker: self.id.to_string(),
            source,
        })?;
        Ok(())
    }

    pub fn share(&self) -> Share {
        self.share
    }
}

/// The right to move a shard from where it stands. Whoever takes a shard over raises its epoch, which a stale owner
/// can't pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    pub shard: i16,
    pub epoch: i64,
    /// Where the shard stands.
    pub checkpoint: i64,
}

/// The shards of a projection that a worker holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leases {
    /// By shard. One element for a projection with a single shard.
    slots: Vec<Option<Lease>>,
}

impl Leases {
    /// `sharded` projections have the [`SHARDS`] virtual shards, the others one.
    pub fn new(sharded: bool, held: impl IntoIterator<Item = Lease>) -> Self {
        let count = if sharded { usize::from(SHARDS) } else { 1 };
        let mut slots = vec![None; count];
        for lease in held {
            if let Some(slot) = slots.get_mut(usize::from(lease.shard.cast_unsigned())) {
                *slot = Some(lease);
            }
        }
        Self { slots }
    }

    /// Every shard at the same checkpoint, for what only one process could ever drive.
    pub fn all_at(checkpoints: &[i64]) -> Self {
        let leases = checkpoints
            .iter()
            .zip(0..)
            .map(|(checkpoint, shard)| Lease {
                shard,
                epoch: 0,
                checkpoint: *checkpoint,
            });
        Self::new(checkpoints.len() > 1, leases)
    }

    /// The lease of the shard that the bucket belongs to, where it is held.
    pub fn of(&self, bucket: Bucket) -> Option<&Lease> {
        let slot = if self.slots.len() == 1 {
            0
        } else {
            bucket.shard().index()
        };
        self.slots[slot].as_ref()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Lease> {
        self.slots.iter().flatten()
    }

    /// Where the shard furthest behind stands. `None` where none is held.
    pub fn lowest(&self) -> Option<i64> {
        self.iter().map(|lease| lease.checkpoint).min()
    }

    /// The same leases with every shard at `to`; one that is beyond it already stays.
    pub fn reached(&self, to: i64) -> Self {
        self.map(|lease| lease.checkpoint.max(to))
    }

    /// The same leases, each shard where `checkpoint` says.
    pub fn map(&self, checkpoint: impl Fn(&Lease) -> i64) -> Self {
        let slots = self.slots.iter().map(|slot| {
            slot.map(|lease| Lease {
                checkpoint: checkpoint(&lease),
                ..lease
            })
        });
        Self {
            slots: slots.collect(),
        }
    }

    /// Whether the same shards are held under the same epochs.
    pub(crate) fn are_those(&self, seats: &[Seat]) -> bool {
        let mine = seats.iter().filter(|seat| seat.holder == Holder::Me);
        self.iter()
            .map(|lease| (lease.shard, lease.epoch))
            .eq(mine.map(|seat| (seat.shard, seat.epoch)))
    }
}

pub(crate) fn shards(sharded: bool) -> Vec<i16> {
    if sharded {
        Shard::all().map(Shard::as_i16).collect()
    } else {
        vec![0]
    }
}

/// Who holds a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    Me,
    /// Another worker that is alive.
    Other,
    Nobody,
}

/// A shard as it is found in the database, in order of shards.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seat {
    pub(crate) shard: i16,
    pub(crate) epoch: i64,
    pub(crate) holder: Holder,
}

/// What a worker has to do to hold its share.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Moves {
    /// Shards and the epochs that they were seen at: whoever was faster has raised them.
    pub(crate) take: Vec<(i16, i64)>,
    pub(crate) give: Vec<i16>,
}

/// `workers` are those alive that want a fair share, this one among them.
pub(crate) fn moves(seats: &[Seat], share: Share, workers: usize) -> Moves {
    let fair = match share {
        Share::All => seats.len(),
        Share::Fair => seats.len().div_ceil(workers.max(1)),
    };
    let of = |holder| seats.iter().filter(move |seat| seat.holder == holder);
    let mine = of(Holder::Me).count();
    Moves {
        take: of(Holder::Nobody)
            .take(fair.saturating_sub(mine))
            .map(|seat| (seat.shard, seat.epoch))
            .collect(),
        give: of(Holder::Me).skip(fair).map(|seat| seat.shard).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seats(holders: &[Holder]) -> Vec<Seat> {
        let seat = |(holder, shard): (&Holder, i16)| Seat {
            shard,
            epoch: i64::from(shard) * 10,
            holder: *holder,
        };
        holders.iter().zip(0..).map(seat).collect()
    }

    #[test]
    fn a_worker_alone_takes_everything() {
        let moves = moves(&seats(&[Holder::Nobody; 4]), Share::Fair, 1);
        assert_eq!(moves.take, [(0, 0), (1, 10), (2, 20), (3, 30)]);
        assert!(moves.give.is_empty());
    }

    #[test]
    fn what_another_holds_is_left_alone() {
        let found = seats(&[Holder::Other, Holder::Nobody, Holder::Me, Holder::Other]);
        assert_eq!(
            moves(&found, Share::All, 2),
            Moves {
                take: vec![(1, 10)],
                give: vec![]
            }
        );
    }

    #[test]
    fn who_holds_more_than_its_share_gives_the_rest_back() {
        let moves = moves(&seats(&[Holder::Me; 5]), Share::Fair, 2);
        assert_eq!(moves.give, [3, 4]);
        assert!(moves.take.is_empty());
    }

    /// Workers come and go in any order; when nobody has anything left to do, every shard is held, and by nobody more
    /// than its share.
    #[test]
    fn shares_settle_whoever_comes_and_goes() {
        let mut holders: Vec<Option<usize>> = vec![None; 64];
        for workers in [1usize, 2, 3, 7, 64, 65, 5, 1] {
            for holder in &mut holders {
                *holder = holder.filter(|worker| *worker < workers);
            }
            for _round in 0..3 {
                for me in 0..workers {
                    let found: Vec<Holder> = holders
                        .iter()
                        .map(|holder| match holder {
                            None => Holder::Nobody,
                            Some(worker) if *worker == me => Holder::Me,
                            Some(_) => Holder::Other,
                        })
                        .collect();
                    let moves = moves(&seats(&found), Share::Fair, workers);
                    for shard in moves.give {
                        holders[shard as usize] = None;
                    }
                    for (shard, _) in moves.take {
                        holders[shard as usize] = Some(me);
                    }
                }
            }
            assert!(
                holders.iter().all(Option::is_some),
                "{workers}: {holders:?}"
            );
            for me in 0..workers {
                let mine = holders.iter().filter(|holder| **holder == Some(me)).count();
                assert!(mine <= 64usize.div_ceil(workers), "{workers}: {mine}");
            }
        }
    }
}
