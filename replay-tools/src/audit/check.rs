//! `replay audit verify-bundle`.

use std::io::{BufRead as _, BufReader, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use event_store::seal::{KeyChain, Note, PublicKey, SignedHead, leaf, merkle};
use serde::de::DeserializeOwned;

use super::bundle::{
    self, CONSISTENCY, Consistency, EVENTS, EventLine, HEAD, KEYS, MANIFEST, Manifest, PROOFS,
    ProofLine,
};
use super::public_key;

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The folder that `replay audit export` wrote.
    bundle: PathBuf,
    /// A signing key of the log, as you know it from elsewhere.
    #[arg(long, value_parser = public_key)]
    key: Option<PublicKey>,
    /// An earlier export, which this one must continue.
    #[arg(long)]
    since: Option<PathBuf>,
}

pub(super) fn run(args: &CheckArgs, out: &mut (dyn Write + Send)) -> Result<()> {
    let folder = &*args.bundle;
    let manifest: Note = signed(folder, MANIFEST)?;
    check_files(folder, &manifest)?;
    let notes: Vec<String> = serde_json::from_str(&read(folder, KEYS)?)
        .with_context(|| format!("{KEYS} is malformed"))?;
    let notes = notes
        .iter()
        .map(|note| note.parse().with_context(|| format!("{KEYS} is malformed")))
        .collect::<Result<Vec<Note>>>()?;
    let chain = KeyChain::check(notes, args.key.as_ref())?;
    let last = chain.last().context("there is no signing key")?;
    ensure!(
        manifest.is_signed_by(&last.key),
        "{MANIFEST} is not signed by the last signing key"
    );
    let head: SignedHead = read(folder, HEAD)?
        .parse()
        .with_context(|| format!("{HEAD} is malformed"))?;
    chain.check_head(&head)?;
    let events = check_events(folder, &head)?;
    let consistent = folder.join(CONSISTENCY).is_file();
    if consistent {
        check_consistency(folder, &head, &chain)?;
    }
    if let Some(since) = &args.since {
        ensure!(consistent, "the bundle says nothing about an earlier one");
        let named: Consistency = serde_json::from_str(&read(folder, CONSISTENCY)?)?;
        ensure!(
            named.earlier == read(since, HEAD)?,
            "the bundle continues another one than {}",
            since.display()
        );
    }
    let origin = chain.origin().context("there is no signing key")?;
    writeln!(out, "{events} events, each as it was signed for")?;
    writeln!(out, "log        {}", head.head.incarnation)?;
    writeln!(
        out,
        "head       {} events, signed {}",
        head.head.size, head.head.signed_at
    )?;
    writeln!(out, "first key  {origin}")?;
    if args.key.is_none() {
        writeln!(
            out,
            "           compare it with the one that you know: nothing else says whose it is"
        )?;
    }
    if consistent {
        writeln!(out, "continues  the log of the earlier bundle")?;
    }
    Ok(())
}

/// Whether the files are those of the manifest, no more and no fewer.
fn check_files(folder: &Path, manifest: &Note) -> Result<()> {
    let names = Manifest::names(manifest.text())?;
    let mut expected: Vec<&str> = names.iter().copied().chain([MANIFEST]).collect();
    expected.sort_unstable();
    ensure!(
        bundle::names(folder)? == expected,
        "the bundle's files are not those that {MANIFEST} lists"
    );
    ensure!(
        Manifest::of(folder, &names)?.text() == manifest.text(),
        "a file is not the one that {MANIFEST} lists"
    );
    Ok(())
}

/// Whether each event's leaf leads to the root. Answers how many there are.
fn check_events(folder: &Path, head: &SignedHead) -> Result<u64> {
    let mut proofs = lines::<ProofLine>(folder, PROOFS)?;
    let mut last = 0;
    let mut count = 0;
    for event in lines::<EventLine>(folder, EVENTS)? {
        let event = event?.event()?;
        let position = event.position;
        let proof = proofs
            .next()
            .with_context(|| format!("position {position} has no proof"))??;
        ensure!(
            proof.position == position && position > last,
            "events and proofs are not in one order at position {position}"
        );
        let leaf = merkle::leaf(&leaf::bytes(&event));
        let index = position.cast_unsigned() - 1;
        let root = merkle::root_by_path(leaf, index, head.head.size, &proof.path.0);
        ensure!(
            root == Some(head.head.root),
            "the event at position {position} is not the one that was signed for"
        );
        last = position;
        count += 1;
    }
    match proofs.next() {
        None => Ok(count),
        Some(_) => bail!("there are more proofs than events"),
    }
}

fn check_consistency(folder: &Path, head: &SignedHead, chain: &KeyChain) -> Result<()> {
    let consistency: Consistency = serde_json::from_str(&read(folder, CONSISTENCY)?)
        .with_context(|| format!("{CONSISTENCY} is malformed"))?;
    let earlier: SignedHead = consistency
        .earlier
        .parse()
        .context("the earlier head is malformed")?;
    chain.check_head(&earlier)?;
    ensure!(
        earlier.head.incarnation == head.head.incarnation
            && merkle::is_consistent(
                earlier.head.size,
                earlier.head.root,
                head.head.size,
                head.head.root,
                &consistency.proof.0
            ),
        "the log of the earlier bundle does not begin this one"
    );
    Ok(())
}

/// A signed text of which every byte counts.
fn signed(folder: &Path, name: &str) -> Result<Note> {
    let text = read(folder, name)?;
    let note: Note = text
        .parse()
        .with_context(|| format!("{name} is malformed"))?;
    ensure!(note.to_string() == text, "{name} is malformed");
    Ok(note)
}

fn read(folder: &Path, name: &str) -> Result<String> {
    std::fs::read_to_string(folder.join(name)).with_context(|| format!("could not read {name}"))
}

fn lines<T: DeserializeOwned>(
    folder: &Path,
    name: &'static str,
) -> Result<impl Iterator<Item = Result<T>>> {
    let file =
        std::fs::File::open(folder.join(name)).with_context(|| format!("could not read {name}"))?;
    Ok(BufReader::new(file).lines().map(move |line| {
        let line = line.with_context(|| format!("could not read {name}"))?;
        serde_json::from_str(&line).with_context(|| format!("a line of {name} is malformed"))
    }))
}
