//! `replay audit verify`.

use std::io::Write;

use anyhow::{Result, bail};
use clap::Args;
use event_store::seal::{Anchor, Audit, PublicKey, Verdict};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use super::public_key;

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The first position to compare.
    #[arg(long, default_value_t = 1)]
    from: i64,
    /// The last one; by default the last that was sealed.
    #[arg(long)]
    to: Option<i64>,
    /// A signing key, as it was noted somewhere safe. Without it, the anchor is believed about the first.
    #[arg(long, value_parser = public_key)]
    key: Option<PublicKey>,
    /// An earlier incarnation of the log whose end is known to have been lost by a restore.
    #[arg(long)]
    restored: Vec<Uuid>,
    /// One JSON document instead of text.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(
    args: &VerifyArgs,
    pool: &PgPool,
    anchors: &[Anchor],
    out: &mut (dyn Write + Send),
) -> Result<()> {
    let audit = Audit {
        pool,
        anchors,
        origin: args.key.as_ref(),
        restored: &args.restored,
    };
    let bar = ProgressBar::no_length().with_style(style());
    let verdict = audit
        .verify(args.from, args.to, |position, last| {
            bar.set_length(last.cast_unsigned());
            bar.set_position(position.cast_unsigned());
        })
        .await;
    bar.finish_and_clear();
    let verdict = verdict?;
    if args.json {
        writeln!(out, "{:#}", document(&verdict))?;
    } else {
        show(&verdict, out)?;
    }
    if !verdict.is_clean() {
        bail!(
            "the log is not what was signed for: {} findings",
            verdict.findings_count
        );
    }
    Ok(())
}

fn show(verdict: &Verdict, out: &mut (dyn Write + Send)) -> Result<()> {
    writeln!(out, "log        {}", verdict.incarnation)?;
    writeln!(out, "first key  {}", verdict.origin)?;
    if verdict.to < verdict.from {
        writeln!(out, "compared   nothing")?;
    } else {
        writeln!(
            out,
            "compared   positions {} to {}",
            verdict.from, verdict.to
        )?;
    }
    writeln!(
        out,
        "sealed     up to {} of {}",
        verdict.sealed, verdict.head
    )?;
    match verdict.anchored {
        0 => writeln!(
            out,
            "anchored   nothing: who holds both the database and the signing key could alter the log unnoticed"
        )?,
        anchored => writeln!(
            out,
            "anchored   up to {anchored}: so far the guarantee reaches, whoever holds the database and the signing key"
        )?,
    }
    for finding in &verdict.findings {
        writeln!(out, "FOUND      {finding}")?;
    }
    let unlisted = verdict.findings_count - verdict.findings.len() as u64;
    if unlisted > 0 {
        writeln!(out, "           and {unlisted} more")?;
    }
    if verdict.is_clean() {
        writeln!(
            out,
            "clean      nothing was altered, removed, inserted or moved"
        )?;
    }
    Ok(())
}

fn document(verdict: &Verdict) -> serde_json::Value {
    let findings: Vec<String> = verdict.findings.iter().map(ToString::to_string).collect();
    json!({
        "log": verdict.incarnation,
        "first_key": verdict.origin.to_string(),
        "from": verdict.from,
        "to": verdict.to,
        "head": verdict.head,
        "sealed": verdict.sealed,
        "anchored": verdict.anchored,
        "clean": verdict.is_clean(),
        "findings": findings,
        "findings_count": verdict.findings_count,
    })
}

fn style() -> ProgressStyle {
    // The template is a constant; a broken one shows the default.
    ProgressStyle::with_template(
        "comparing {wide_bar} {human_pos}/{human_len} events, {per_sec}, {eta} left",
    )
    .unwrap_or_else(|_| ProgressStyle::default_bar())
}
