//! `replay audit export`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use domain::CaseReference;
use event_store::seal::{Due, KeyChain, Note, Proofs, Sealer, SignedHead, leaf, merkle};
use event_store::{Access, AccessLog, EventLog, Log as _, Reader};
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use super::because;
use super::bundle::{
    CONSISTENCY, Consistency, EVENTS, EventLine, HEAD, Hashes, KEYS, MANIFEST, Manifest, PROOFS,
    ProofLine, README,
};

const README_TEXT: &str = include_str!("README.bundle.md");
const EVENTS_PER_READ: i64 = 4096;
/// Who runs this, as events of other tools name them.
const OPERATOR: &str = "operator";
/// Stored; never rename.
const PURPOSE: &str = "audit_export";

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The folder to write to, which must not be there yet.
    out: PathBuf,
    /// The first position.
    #[arg(long, default_value_t = 1)]
    from: i64,
    /// The last one; by default the log's last.
    #[arg(long)]
    to: Option<i64>,
    /// Only the events of this account.
    #[arg(long)]
    account: Option<Uuid>,
    /// An earlier export, which this one is to be shown to continue.
    #[arg(long)]
    since: Option<PathBuf>,
    /// Why, as a reference such as `ticket:4711`: kept with the note that events left.
    #[arg(long)]
    reason: Option<CaseReference>,
}

pub(super) async fn run(
    args: &ExportArgs,
    pool: &PgPool,
    sealer: &Sealer,
    accesses: &AccessLog,
    out: &mut (dyn Write + Send),
) -> Result<()> {
    ensure!(args.from >= 1, "positions begin at 1");
    sealer
        .ask_anchors()
        .await
        .context("could not compare the log with the anchor")?;
    // What is exported is proven, so what was appended just now is signed for first.
    sealer
        .seal(Due::Now)
        .await
        .context("could not seal the log")?;
    std::fs::create_dir(&args.out)
        .with_context(|| format!("could not make {}", args.out.display()))?;
    let written = write_bundle(args, pool, sealer, accesses, out).await;
    if written.is_err() {
        // What was written of it is nobody's, since nobody was noted to have it.
        std::fs::remove_dir_all(&args.out)
            .with_context(|| format!("could not remove {}", args.out.display()))?;
    }
    written
}

async fn write_bundle(
    args: &ExportArgs,
    pool: &PgPool,
    sealer: &Sealer,
    accesses: &AccessLog,
    out: &mut (dyn Write + Send),
) -> Result<()> {
    let log = EventLog::open(pool.clone()).await?;
    let mut connection = pool.acquire().await?;
    let mut proofs = Proofs::of_last_head(&mut connection, log.incarnation()).await?;
    let last = proofs.head().head.size as i64;
    let to = args.to.map_or(last, |to| to.min(last));
    let mut events = create(&args.out, EVENTS)?;
    let mut paths = create(&args.out, PROOFS)?;
    let mut counts = BTreeMap::<Uuid, u64>::new();
    let mut reader = Reader::after(log, args.from - 1);
    while reader.position() < to {
        let limit = EVENTS_PER_READ.min(to - reader.position());
        for event in reader.next(limit).await? {
            if args.account.is_some_and(|account| account != event.tenant) {
                continue;
            }
            let position = event.position;
            let (signed, path) = proofs
                .inclusion(&mut connection, position)
                .await?
                .with_context(|| format!("position {position} is not sealed"))?;
            ensure!(
                merkle::leaf(&leaf::bytes(&event)) == signed,
                "the event at position {position} is not the one that was signed for; see `replay audit verify`"
            );
            let path = Hashes(path);
            line(&mut events, &EventLine::from(&event))?;
            line(&mut paths, &ProofLine { position, path })?;
            *counts.entry(event.tenant).or_default() += 1;
        }
    }
    finish(events)?;
    finish(paths)?;
    let mut names = vec![README, HEAD, KEYS, EVENTS, PROOFS];
    write(&args.out, README, README_TEXT)?;
    write(&args.out, HEAD, &proofs.head().note.to_string())?;
    let keys: Vec<String> = proofs.keys().iter().map(Note::to_string).collect();
    write(&args.out, KEYS, &serde_json::to_string_pretty(&keys)?)?;
    if let Some(earlier) = &args.since {
        let earlier = std::fs::read_to_string(earlier.join(HEAD))
            .with_context(|| format!("{} is no export", earlier.display()))?;
        let head: SignedHead = earlier.parse().context("the earlier head is malformed")?;
        ensure!(
            head.head.incarnation == proofs.head().head.incarnation,
            "the earlier export is of another log"
        );
        let proof = proofs.consistency(&mut connection, head.head.size).await?;
        let proof = Hashes(proof);
        let consistency = Consistency { earlier, proof };
        write(
            &args.out,
            CONSISTENCY,
            &serde_json::to_string(&consistency)?,
        )?;
        names.push(CONSISTENCY);
    }
    // Without its manifest the export is none: what can't be noted is not finished.
    for (account, events) in &counts {
        let access = Access {
            tenant: *account,
            actor: OPERATOR.to_owned(),
            purpose: PURPOSE,
            subjects: Vec::new(),
            what: because(
                json!({ "events": events, "from": args.from, "to": to }),
                args.reason.as_ref(),
            ),
        };
        accesses.note(&access).await?;
    }
    let manifest = sealer.sign(Manifest::of(&args.out, &names)?.text()).await?;
    let chain = KeyChain::check(proofs.keys().to_vec(), None)?;
    ensure!(
        chain
            .last()
            .is_some_and(|last| manifest.is_signed_by(&last.key)),
        "the signing key was replaced while this was written: export again"
    );
    write(&args.out, MANIFEST, &manifest.to_string())?;
    writeln!(
        out,
        "{} events, proven to be in the log up to position {last}, in {}",
        counts.values().sum::<u64>(),
        args.out.display()
    )?;
    Ok(())
}

fn create(folder: &Path, name: &str) -> Result<BufWriter<File>> {
    let file = File::create_new(folder.join(name));
    Ok(BufWriter::new(
        file.with_context(|| format!("could not make {name}"))?,
    ))
}

fn line(file: &mut BufWriter<File>, value: &impl serde::Serialize) -> Result<()> {
    serde_json::to_writer(&mut *file, value)?;
    Ok(file.write_all(b"\n")?)
}

fn finish(file: BufWriter<File>) -> Result<()> {
    let file = file.into_inner().context("could not write the export")?;
    file.sync_all().context("could not write the export")
}

fn write(folder: &Path, name: &str, text: &str) -> Result<()> {
    let mut file = create(folder, name)?;
    file.write_all(text.as_bytes())?;
    finish(file)
}
