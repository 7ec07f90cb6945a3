//! `replay rebuild`, `replay verify` and `replay rollback`: versions of a projection, built from the log beside the one
//! that is served.

pub(crate) mod bar;

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Error, Result, bail};
use clap::Args;
use projections::rebuild::{
    Compared, MEMORY_BYTES_MAX, READS_END_WITHIN, Rebuild, RebuildError, Tracker, Waiting,
};
use projections::{Drivers, Projection};

#[derive(Debug, Args)]
pub(crate) struct RebuildArgs {
    /// The projection, as `replay status` names it.
    #[arg(value_parser = projection)]
    name: Projection,
    /// Serve the new version once it equals the old one; without this it stands by.
    #[arg(long)]
    swap: bool,
    /// Keep the version that was served up to date too, so that `replay rollback` can go back to it.
    #[arg(long, requires = "swap")]
    keep_old: bool,
    /// Go on where the two differ: for a version that was damaged, or whose code has changed. Events of keys that wait
    /// are tried again, too.
    #[arg(long)]
    accept_difference: bool,
    #[command(flatten)]
    memory: Memory,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The projection, as `replay status` names it.
    #[arg(value_parser = projection)]
    name: Projection,
    #[command(flatten)]
    memory: Memory,
}

#[derive(Debug, Args)]
pub(crate) struct RollbackArgs {
    /// The projection, as `replay status` names it.
    #[arg(value_parser = projection)]
    name: Projection,
    /// Any version that stands by; by default the one before the one that is served.
    #[arg(long)]
    to: Option<i32>,
}

#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Memory {
    /// How much of the fold is held in memory at once, in MiB; the log is read again for what is beyond it.
    #[arg(long, default_value_t = MEMORY_BYTES_MAX >> 20, value_parser = at_least_one)]
    memory_mib: usize,
}

impl Memory {
    pub(crate) fn bytes(self) -> usize {
        self.memory_mib << 20
    }
}

pub(crate) async fn rebuild(
    args: &RebuildArgs,
    drivers: &Drivers,
    out: &mut (dyn Write + Send),
) -> Result<()> {
    let (mut work, began) = (begin(args.name, drivers).await?, Instant::now());
    let old = work.served();
    let waiting = match args.accept_difference {
        true => Waiting::TriedAgain,
        false => Waiting::TakenOver,
    };
    let version = work.build(waiting, args.memory.bytes()).await?;
    let took = began.elapsed();
    let mut follows = true;
    match work.compare(version).await {
        Ok(compared) => {
            say(&compared, args.name, version, old, took, out)?;
            if compared.difference.is_some() && !args.accept_difference {
                work.remove(version).await?;
                bail!(
                    "version {version} is removed again and nothing was switched; --accept-difference keeps what the log says"
                );
            }
        }
        // It stopped, or knows another incarnation of the log: which is what a rebuild may be for.
        Err(RebuildError::Stopped(stopped)) if args.accept_difference => {
            follows = false;
            writeln!(
                out,
                "version {old} was not compared: {:#}",
                Error::from(stopped)
            )?;
        }
        Err(error) => {
            work.remove(version)
                .await
                .with_context(|| format!("after a comparison that failed: {error}"))?;
            return Err(error.into());
        }
    }
    if !args.swap {
        work.stand_by(version).await?;
        writeln!(
            out,
            "version {version} stands by; `replay rollback {} --to {version}` serves it",
            args.name
        )?;
        return Ok(());
    }
    let position = if follows {
        work.switch(version).await?
    } else {
        work.replace(version).await?
    };
    writeln!(
        out,
        "version {version} is served from position {position} on"
    )?;
    if args.keep_old {
        writeln!(
            out,
            "version {old} stands by; `replay rollback {}` serves it again",
            args.name
        )?;
        return Ok(());
    }
    writeln!(out, "waiting for the last reads of version {old}")?;
    tokio::time::sleep(READS_END_WITHIN).await;
    work.remove(old).await?;
    writeln!(out, "version {old} is removed")?;
    Ok(())
}

pub(crate) async fn verify(
    args: &VerifyArgs,
    drivers: &Drivers,
    out: &mut (dyn Write + Send),
) -> Result<()> {
    let (work, began) = (begin(args.name, drivers).await?, Instant::now());
    let version = work.build(Waiting::TakenOver, args.memory.bytes()).await?;
    let took = began.elapsed();
    let compared = work.compare(version).await;
    work.remove(version).await?;
    let compared = compared?;
    say(&compared, args.name, version, work.served(), took, out)?;
    if compared.difference.is_some() {
        bail!("{} is not what the log says", args.name);
    }
    Ok(())
}

pub(crate) async fn rollback(
    args: &RollbackArgs,
    drivers: &Drivers,
    out: &mut (dyn Write + Send),
) -> Result<()> {
    let mut work = begin(args.name, drivers).await?;
    let old = work.served();
    let version = work.standby(args.to).await?;
    let position = work.switch(version).await?;
    writeln!(
        out,
        "version {version} of {} is served from position {position} on; version {old} stands by",
        args.name
    )?;
    Ok(())
}

async fn begin(name: Projection, drivers: &Drivers) -> Result<Rebuild> {
    let tracker = Tracker::default();
    bar::show(tracker.watch());
    Ok(drivers.rebuild(name, tracker).await?)
}

fn say(
    compared: &Compared,
    name: Projection,
    version: i32,
    served: i32,
    took: Duration,
    out: &mut (dyn Write + Send),
) -> Result<()> {
    let position = compared.position;
    let rate = position as f64 / took.as_secs_f64().max(0.001);
    writeln!(
        out,
        "version {version} of {name} holds {position} events, built in {:.1} s ({rate:.0} events/s)",
        took.as_secs_f64()
    )?;
    match &compared.difference {
        None => writeln!(
            out,
            "version {served}, which is served, equals it at position {position}"
        )?,
        Some(difference) => writeln!(
            out,
            "version {served}, which is served, differs at position {position}: row {}, {}",
            difference.row,
            match &difference.column {
                Some(column) => format!("column {column}"),
                None => "which only one of them has".to_owned(),
            }
        )?,
    }
    Ok(())
}

fn projection(name: &str) -> Result<Projection, String> {
    let known = || {
        let names: Vec<&str> = Projection::ALL.iter().map(|one| one.name()).collect();
        names.join(", ")
    };
    Projection::parse(name).ok_or_else(|| format!("this build knows {}", known()))
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}
