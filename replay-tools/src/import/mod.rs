//! `replay import`: the events of an existing postgres-es database, in through the append lane.
//!
//! Each stream keeps its own order. Across streams, postgres-es has none: its table knows no position and no time. They
//! come in by type, in the order in which this build lists its aggregates (so that a site stands before what refers to
//! it), and within a type by id, many at once.
//!
//! An import can be killed at any moment and run again: the ids of events derive from the source, each append says which
//! version it expects, and what stands here already is compared and not appended.

mod admit;
mod mapping;
mod refusal;
mod report;
mod source;
mod stream_import;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::{Context as _, Error, Result, bail};
use clap::{Args, ValueEnum};
use domain::EVENT_TYPES;
use event_store::{Role, Store, StreamHead, Streams, connect, connect_lane};
use futures::stream::{self, TryStreamExt as _};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::Semaphore;
use uuid::Uuid;

use self::mapping::{Mapping, Subjects};
use self::report::{Heading, Planned, Report};
use self::source::{Source, SourceStream, SourceStreams, SourceType};
use self::stream_import::{Counts, Importer};
use crate::keys::KeyArgs;

/// Streams on their way into the lane: enough for full batches, well below what the lane lets wait.
const STREAMS_MAX: usize = 512;
/// What they may hold of the source together: less than the lane lets one tenant have under way.
const ROOM_KIB: usize = 6 << 10;
const LOAD_CONNECTIONS: u32 = 8;

#[derive(Args)]
pub(crate) struct ImportArgs {
    /// What the source is.
    #[arg(long, value_enum)]
    from: Kind,
    /// The source's Postgres; it is only read.
    #[arg(env = "IMPORT_SOURCE_URL", hide_env_values = true)]
    url: String,
    /// The account that the events become those of.
    #[arg(long)]
    tenant: Uuid,
    /// Calls the source by this name for ever, whatever its address; by default the name of its database.
    #[arg(long)]
    source_name: Option<String>,
    /// A file that says what becomes of the source's names, fields and metadata.
    #[arg(long)]
    map: Option<PathBuf>,
    /// Read, check and compare everything, and append nothing.
    #[arg(long)]
    dry_run: bool,
    /// Where to write the report as JSON.
    #[arg(long)]
    report: Option<PathBuf>,
    #[command(flatten)]
    keys: KeyArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// A database of the crate postgres-es, version 0.5
    PostgresEs,
}

pub(crate) async fn run(
    args: &ImportArgs,
    database_url: &str,
    data_dir: &Path,
    out: &mut (dyn Write + Send),
) -> Result<()> {
    let Kind::PostgresEs = args.from;
    let started = Instant::now();
    let mapping = match &args.map {
        Some(path) => Mapping::read(path)?,
        None => Mapping::default(),
    };
    let source = Source::open(&args.url)?;
    let source_name = match &args.source_name {
        Some(name) => name.clone(),
        None => source.database_name().await?,
    };
    let plan = plan(&mapping, source.types().await?);
    let importer = open(args, database_url, data_dir, mapping, source, source_name).await?;
    let report = Mutex::new(Report::default());
    let imported = importer.import(plan, &report).await;
    let report = report
        .into_inner()
        .unwrap_or_else(|broken| broken.into_inner());
    let heading = Heading {
        source: &importer.source_name,
        tenant: args.tenant,
        dry_run: args.dry_run,
        took: started.elapsed(),
    };
    // Also of an import that could not go on: what came in stays in.
    report.show(&heading, out)?;
    if let Some(path) = &args.report {
        let document = serde_json::to_vec_pretty(&report.document(&heading))?;
        std::fs::write(path, document)
            .with_context(|| format!("could not write {}", path.display()))?;
    }
    imported.context("the import could not go on; run it again, and it does from here")?;
    if !report.is_complete() {
        let (types, streams) = report.refusals();
        bail!("{streams} streams and {types} whole types were refused; everything else is in");
    }
    Ok(())
}

async fn open(
    args: &ImportArgs,
    database_url: &str,
    data_dir: &Path,
    mapping: Mapping,
    source: Source,
    source_name: String,
) -> Result<Importer> {
    let keys = args.keys.open(database_url, data_dir).await?;
    let pool = connect(database_url, Role::Writer, LOAD_CONNECTIONS).context("DATABASE_URL")?;
    let streams = Streams::new(pool, keys.vault, domain::upcasters());
    let store = Store::open(connect_lane(database_url)?, streams, keys.tags)
        .await
        .context("could not open the event store; was the database migrated?")?;
    Ok(Importer {
        store,
        source,
        source_name,
        mapping,
        subjects: Subjects {
            secrets: keys.secrets,
            tenant: args.tenant,
        },
        tenant: args.tenant,
        dry_run: args.dry_run,
        sites: tokio::sync::Mutex::default(),
    })
}

/// What becomes of each kind of event that the source holds.
fn plan(mapping: &Mapping, types: Vec<SourceType>) -> Vec<Planned> {
    types
        .into_iter()
        .map(|source| {
            let aggregate_type = mapping.aggregate_type(&source.aggregate_type).to_owned();
            let event_type = mapping
                .event_type(&source.aggregate_type, &source.event_type)
                .to_owned();
            let is_known = EVENT_TYPES
                .iter()
                .any(|(known, events)| *known == aggregate_type && events.contains(&&*event_type));
            Planned {
                source,
                aggregate_type,
                event_type,
                is_known,
            }
        })
        .collect()
}

impl Importer {
    async fn import(&self, plan: Vec<Planned>, report: &Mutex<Report>) -> Result<()> {
        let mut events: BTreeMap<String, u64> = BTreeMap::new();
        for planned in &plan {
            *events
                .entry(planned.source.aggregate_type.clone())
                .or_default() += planned.source.events.unsigned_abs();
        }
        with(report, |report| report.planned = plan);
        let place = |source: &str| {
            let ours = self.mapping.aggregate_type(source);
            EVENT_TYPES.iter().position(|(known, _)| *known == ours)
        };
        let bar = progress(events.values().sum());
        let mut ordered: Vec<_> = events
            .keys()
            .filter_map(|source_type| Some((place(source_type)?, source_type)))
            .collect();
        ordered.sort();
        for (source_type, events) in &events {
            if place(source_type).is_none() {
                with(report, |report| report.aggregate_type(source_type, *events));
                bar.inc(*events);
            }
        }
        for (_, source_type) in ordered {
            self.import_type(source_type, report, &bar).await?;
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// Reads on while streams that were read before are on their way.
    async fn import_type(
        &self,
        source_type: &str,
        report: &Mutex<Report>,
        bar: &ProgressBar,
    ) -> Result<()> {
        let room = Arc::new(Semaphore::new(ROOM_KIB));
        stream::try_unfold(self.source.streams(source_type), |mut streams| async {
            let page = self.page(source_type, &mut streams).await?;
            Ok::<_, Error>((!page.is_empty()).then_some((page, streams)))
        })
        .map_ok(|page| stream::iter(page.into_iter().map(Ok)))
        .try_flatten()
        .and_then(|(stream, head)| {
            let kib = stream.size_bytes().div_ceil(1024).clamp(1, ROOM_KIB);
            let room = room.clone().acquire_many_owned(kib as u32);
            async move { Ok((stream, head, room.await?)) }
        })
        .try_for_each_concurrent(STREAMS_MAX, |(stream, head, room)| async move {
            let imported = self.import_stream(source_type, stream, head, report, bar);
            imported.await?;
            drop(room);
            Ok(())
        })
        .await
    }

    /// The next streams, and where those of their names stand here.
    async fn page(
        &self,
        source_type: &str,
        streams: &mut SourceStreams,
    ) -> Result<Vec<(SourceStream, Option<StreamHead>)>> {
        let page = streams.next().await?;
        let ids: Vec<String> = page
            .iter()
            .map(|stream| stream.aggregate_id().to_owned())
            .collect();
        let ours = self.mapping.aggregate_type(source_type);
        let mut heads = self.store.streams().heads(ours, &ids).await?;
        let with_head = |stream: SourceStream| {
            let head = heads.remove(stream.aggregate_id());
            (stream, head)
        };
        Ok(page.into_iter().map(with_head).collect())
    }

    async fn import_stream(
        &self,
        source_type: &str,
        stream: SourceStream,
        head: Option<StreamHead>,
        report: &Mutex<Report>,
        bar: &ProgressBar,
    ) -> Result<()> {
        let mut counts = Counts::default();
        let brought = self.bring_in(source_type, &stream, head, &mut counts).await;
        bar.inc(counts.read);
        let id = stream.aggregate_id();
        let (refused, failed) = match brought {
            Ok(brought) => (brought.err(), None),
            Err(error) => (None, Some(error)),
        };
        with(report, |report| {
            report.stream(source_type, id, counts, refused);
        });
        failed.map_or(Ok(()), Err)
    }
}

/// The lock is never held across an await.
fn with(report: &Mutex<Report>, change: impl FnOnce(&mut Report)) {
    change(&mut report.lock().unwrap_or_else(|broken| broken.into_inner()));
}

fn progress(events: u64) -> ProgressBar {
    let bar = ProgressBar::new(events);
    if let Ok(style) = ProgressStyle::with_template(
        "importing {wide_bar} {human_pos}/{human_len} events  {per_sec}  {eta} left",
    ) {
        bar.set_style(style);
    }
    bar
}
