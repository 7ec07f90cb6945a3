//! What a process shows of the versions that tools are building: they themselves are asked for no metrics, and are gone
//! when they are done.

use std::collections::HashMap;
use std::time::Duration;

use metrics::Gauge;
use sqlx::PgPool;

use super::Building;

const MEASURE_EVERY: Duration = Duration::from_secs(1);
const MEASURE_WITHIN: Duration = Duration::from_secs(3);

/// Shows them for as long as it is polled.
pub(crate) async fn show_builds(pool: PgPool) {
    describe();
    let mut shown = Shown::default();
    loop {
        let building = tokio::time::timeout(MEASURE_WITHIN, Building::all(&pool)).await;
        match building {
            Ok(Ok(building)) => shown.show(building),
            Ok(Err(error)) => {
                shown.forget();
                let error = &error as &dyn std::error::Error;
                tracing::debug!(error, "could not read how far builds are");
            }
            Err(_) => shown.forget(),
        }
        tokio::time::sleep(MEASURE_EVERY).await;
    }
}

/// By name and version.
#[derive(Default)]
struct Shown(HashMap<(String, i32), Meters>);

struct Meters {
    progress: Gauge,
    silent: Gauge,
}

impl Shown {
    fn show(&mut self, building: Vec<(String, i32, Building)>) {
        let is_built = |(name, version): &(String, i32)| {
            let is_same = |one: &(String, i32, Building)| one.0 == *name && one.1 == *version;
            building.iter().any(is_same)
        };
        self.0.retain(|key, _| is_built(key));
        for (name, version, one) in building {
            let new = || Meters::new(&name, version);
            let meters = self.0.entry((name.clone(), version)).or_insert_with(new);
            meters.progress.set(one.ratio());
            meters.silent.set(one.silent_seconds);
        }
    }

    fn forget(&mut self) {
        self.0.clear();
    }
}

impl Meters {
    fn new(name: &str, version: i32) -> Self {
        let labels = [
            ("projector", name.to_owned()),
            ("version", version.to_string()),
        ];
        Self {
            progress: metrics::gauge!("proofline_rebuild_progress_ratio", &labels),
            silent: metrics::gauge!("proofline_rebuild_silent_seconds", &labels),
        }
    }
}

/// What is not being built, or can't be told, is neither done nor at the beginning.
impl Drop for Meters {
    fn drop(&mut self) {
        self.progress.set(f64::NAN);
        self.silent.set(f64::NAN);
    }
}

fn describe() {
    metrics::describe_gauge!(
        "proofline_rebuild_progress_ratio",
        "Of the log, how much a build has read in this pass over it; NaN where nothing is being built."
    );
    metrics::describe_gauge!(
        "proofline_rebuild_silent_seconds",
        "How long ago the tool that builds the version last said how far it is."
    );
}
