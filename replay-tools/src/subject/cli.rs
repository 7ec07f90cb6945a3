//! `replay subject`: people's requests, for whoever answers them at a terminal.

use std::io::{BufRead as _, Write};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use commands::{Call, Commands, Committed, Person, Telemetry};
use domain::data_subject::{Access, Consent, Erasure};
use domain::{AccountId, ActivityId, CaseReference, Email, SubjectId, VisitorId};
use event_store::seal::erase_again;
use event_store::vault::SubjectEvents;
use event_store::{
    AccessLog, EventLog, Log as _, Role, Store, Streams, TelemetryLane, TelemetryLog, connect,
    connect_lane,
};
use projections::sink::begin_subject_events_anew;
use projections::subject_list::{self, SubjectRow};
use projections::{Positions, Progress, Projection, ReadTx};
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use super::export::{Asker, Exports};
use super::page::page;
use super::{SEARCHED_WITHIN, verify};
use crate::audit::AnchorArgs;
use crate::keys::{KeyArgs, Keys};

const CONNECTIONS: u32 = 2;
const ACTOR: &str = "operator";
const LISTED_MAX: u16 = 500;

#[derive(Debug, Subcommand)]
pub(crate) enum SubjectCommand {
    /// Open the record of a person, or find it: reads an e-mail address, a line, from standard input
    Register {
        #[command(flatten)]
        args: AccountArgs,
        #[command(flatten)]
        person: PersonArgs,
    },
    /// Show the records of an account
    List {
        #[command(flatten)]
        args: AccountArgs,
        /// Only those with an open request.
        #[arg(long)]
        open: bool,
    },
    /// Show a person's record
    Show(SubjectArgs),
    /// Note that the person is known by something else too: reads an e-mail address from standard input
    Link {
        #[command(flatten)]
        args: SubjectArgs,
        #[command(flatten)]
        person: PersonArgs,
    },
    /// Note that an id that was linked to the person is not theirs
    Unlink {
        #[command(flatten)]
        args: SubjectArgs,
        /// One of those that `show` tells.
        identity: Uuid,
    },
    /// Enter that the person asked what is held about them
    RequestAccess(SubjectArgs),
    /// Write everything that is held about the person, and answer their request for access
    Export {
        #[command(flatten)]
        args: SubjectArgs,
        /// The folder to write to, which must not be there yet.
        #[arg(long)]
        out: PathBuf,
        #[command(flatten)]
        anchor: AnchorArgs,
    },
    /// Enter that the person asked to be erased: the platform does it at once, and it can't be undone
    RequestErasure(SubjectArgs),
    /// Enter that the person changed their mind: until the platform has done it
    WithdrawErasure(SubjectArgs),
    /// Keep the person's data for a case, whatever they ask for
    Hold {
        #[command(flatten)]
        args: SubjectArgs,
        /// What the case's files are called.
        #[arg(long)]
        case: CaseReference,
    },
    /// The person's data need not be kept for a case any more
    Release(SubjectArgs),
    /// Show the certificate of the person's erasure
    Certificate(SubjectArgs),
    /// Make the index of whose data stands where anew, after the log was restored
    Reindex(KeyArgs),
    /// Look everywhere whether a person who was erased is gone
    VerifyErasure {
        #[command(flatten)]
        args: SubjectArgs,
        #[command(flatten)]
        anchor: AnchorArgs,
    },
}

#[derive(Debug, Args)]
pub(crate) struct AccountArgs {
    account: Uuid,
    #[command(flatten)]
    keys: KeyArgs,
}

#[derive(Debug, Args)]
pub(crate) struct PersonArgs {
    /// The buyer of this activity instead.
    #[arg(long)]
    activity: Option<Uuid>,
    /// What is read from standard input is no address but what the account's pages know a visitor by.
    #[arg(long, conflicts_with = "activity")]
    visitor: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SubjectArgs {
    account: Uuid,
    /// As `register` answered.
    subject: Uuid,
    #[command(flatten)]
    keys: KeyArgs,
}

/// One person of one account, and what is needed to do something about them.
struct Office {
    account: AccountId,
    keys: Keys,
    reader: PgPool,
    projector: PgPool,
    writer: PgPool,
    database_url: String,
    reason: Option<CaseReference>,
}

pub(crate) async fn run(
    database_url: &str,
    data_dir: &Path,
    command: SubjectCommand,
    reason: Option<CaseReference>,
    out: &mut (dyn Write + Send),
) -> Result<()> {
    let of_account = async |args: &AccountArgs| {
        let reason = reason.clone();
        Office::open(args.account, &args.keys, reason, database_url, data_dir).await
    };
    let of_subject = async |args: &SubjectArgs| {
        let reason = reason.clone();
        let office = Office::open(args.account, &args.keys, reason, database_url, data_dir).await?;
        Ok::<_, anyhow::Error>((office, SubjectId::from(args.subject)))
    };
    match command {
        SubjectCommand::Register { args, person } => {
            let office = of_account(&args).await?;
            let commands = office.commands().await?;
            let person = person.read()?;
            let done = commands.subjects.register(&office.call(), &person).await?;
            said(&done, "registered", out)
        }
        SubjectCommand::List { args, open } => of_account(&args).await?.list(open, out).await,
        SubjectCommand::Show(args) => {
            let (office, subject) = of_subject(&args).await?;
            show(&office.record(subject).await?, out)
        }
        SubjectCommand::Link { args, person } => {
            let (office, subject) = of_subject(&args).await?;
            let (commands, person) = (office.commands().await?, person.read()?);
            let call = office.call();
            let done = commands.subjects.link(&call, subject, &person).await?;
            said(&done, "linked", out)
        }
        SubjectCommand::Unlink { args, identity } => {
            let (office, subject) = of_subject(&args).await?;
            let (commands, call) = (office.commands().await?, office.call());
            let done = commands.subjects.unlink(&call, subject, identity.into());
            said(&done.await?, "unlinked", out)
        }
        SubjectCommand::RequestAccess(args) => {
            let (office, subject) = of_subject(&args).await?;
            let (commands, call) = (office.commands().await?, office.call());
            let done = commands.subjects.request_access(&call, subject).await?;
            said(&done, "entered", out)
        }
        SubjectCommand::Export {
            args,
            out: folder,
            anchor,
        } => {
            let (office, subject) = of_subject(&args).await?;
            // As every process does before it serves: the keys may be older than an erasure.
            let sealer = connect(database_url, Role::Sealer, 1).context("DATABASE_URL")?;
            let anchor = anchor.open_known(data_dir).await?;
            erase_again(&sealer, &anchor, &office.keys.vault).await?;
            office.export(subject, &folder, out).await
        }
        SubjectCommand::RequestErasure(args) => {
            let (office, subject) = of_subject(&args).await?;
            let (commands, call) = (office.commands().await?, office.call());
            let done = commands.subjects.request_erasure(&call, subject).await?;
            said(&done, "entered", out)
        }
        SubjectCommand::WithdrawErasure(args) => {
            let (office, subject) = of_subject(&args).await?;
            let (commands, call) = (office.commands().await?, office.call());
            let done = commands.subjects.withdraw_erasure_request(&call, subject);
            said(&done.await?, "withdrawn", out)
        }
        SubjectCommand::Hold { args, case } => {
            let (office, subject) = of_subject(&args).await?;
            let (commands, call) = (office.commands().await?, office.call());
            let done = commands.subjects.place_legal_hold(&call, subject, case);
            said(&done.await?, "held", out)
        }
        SubjectCommand::Release(args) => {
            let (office, subject) = of_subject(&args).await?;
            let (commands, call) = (office.commands().await?, office.call());
            let done = commands.subjects.release_legal_hold(&call, subject).await?;
            said(&done, "released", out)
        }
        SubjectCommand::Certificate(args) => {
            let (office, subject) = of_subject(&args).await?;
            let record = office.record(subject).await?;
            let certificate = record.certificate.context("there is no certificate yet")?;
            write!(out, "{certificate}")?;
            Ok(())
        }
        SubjectCommand::Reindex(keys) => {
            let projector = connect(database_url, Role::Projector, CONNECTIONS)?;
            let log = EventLog::open(projector.clone()).await?;
            let index = SubjectEvents::new(keys.open(database_url, data_dir).await?.pool);
            let incarnation = log.incarnation();
            if begin_subject_events_anew(&projector, &index, incarnation).await? {
                writeln!(out, "begun anew: restart the projectors, which do the rest")?;
            } else {
                writeln!(out, "the index is of this log, and stays")?;
            }
            Ok(())
        }
        SubjectCommand::VerifyErasure { args, anchor } => {
            let (office, subject) = of_subject(&args).await?;
            let record = office.record(subject).await?;
            let verification = verify::Verification {
                account: office.account,
                record,
                vault: office.keys.vault.clone(),
                provider: office.keys.provider.clone(),
                index: SubjectEvents::new(office.keys.pool.clone()),
                log: EventLog::open(office.projector.clone()).await?,
                projector: office.projector.clone(),
                anchor: anchor.open_known(data_dir).await?,
                accesses: AccessLog::new(office.writer.clone()),
                actor: ACTOR,
                reason: office.reason.clone(),
            };
            verification.run(out).await
        }
    }
}

impl Office {
    async fn open(
        account: Uuid,
        keys: &KeyArgs,
        reason: Option<CaseReference>,
        database_url: &str,
        data_dir: &Path,
    ) -> Result<Self> {
        let pool = |role| connect(database_url, role, CONNECTIONS).context("DATABASE_URL");
        Ok(Self {
            account: account.into(),
            keys: keys.open(database_url, data_dir).await?,
            reader: pool(Role::Reader)?,
            projector: pool(Role::Projector)?,
            writer: pool(Role::Writer)?,
            database_url: database_url.to_owned(),
            reason,
        })
    }

    async fn commands(&self) -> Result<Commands> {
        let vault = self.keys.vault.clone();
        let streams = Streams::new(self.writer.clone(), vault, domain::upcasters());
        let lane = connect_lane(&self.database_url)?;
        let store = Store::open(lane.clone(), streams, self.keys.tags.clone()).await?;
        let log = TelemetryLog::open(self.writer.clone()).await?;
        let telemetry = Telemetry::new(TelemetryLane::start(lane, &log), log);
        Ok(Commands::new(store, telemetry, self.keys.secrets.clone()))
    }

    fn call(&self) -> Call {
        let id = Uuid::now_v7();
        Call {
            account: self.account,
            actor: ACTOR.to_owned(),
            at: platform::clock::now(),
            correlation_id: id,
            request_id: id.to_string(),
            source: "cli",
            key: None,
            if_match: None,
            causation_id: None,
            reason: self.reason.clone(),
        }
    }

    async fn record(&self, subject: SubjectId) -> Result<SubjectRow> {
        let models = &[Projection::SubjectList];
        let mut tx = ReadTx::begin(&self.reader, self.account, models).await?;
        let found = subject_list::get(&mut tx, subject).await?.value;
        found.context("the account has no record of this person, or it is not projected yet")
    }

    async fn list(&self, open: bool, out: &mut (dyn Write + Send)) -> Result<()> {
        let models = &[Projection::SubjectList];
        let mut after = None;
        loop {
            let mut tx = ReadTx::begin(&self.reader, self.account, models).await?;
            let page = subject_list::list(&mut tx, open, after, LISTED_MAX)
                .await?
                .value;
            for row in &page.rows {
                let due = row
                    .due_at
                    .map_or_else(String::new, |at| format!(", due at {at}"));
                writeln!(out, "{}  {}{due}", row.subject_id, erasure(row))?;
            }
            match page.rows.last() {
                Some(last) if page.has_more => after = Some(last.position),
                _ => return Ok(()),
            }
        }
    }

    async fn export(
        &self,
        subject: SubjectId,
        folder: &Path,
        out: &mut (dyn Write + Send),
    ) -> Result<()> {
        let log = EventLog::open(self.projector.clone()).await?;
        let telemetry = TelemetryLog::open(self.projector.clone()).await?;
        let exports = Exports {
            reader: self.reader.clone(),
            positions: Positions::new(
                self.projector.clone(),
                log.clone(),
                telemetry,
                Progress::default(),
            ),
            vault: self.keys.vault.clone(),
            index: SubjectEvents::new(self.keys.pool.clone()),
            log,
            accesses: AccessLog::new(self.writer.clone()),
            searched_within: SEARCHED_WITHIN,
        };
        let call = self.call();
        let asker = Asker {
            actor: ACTOR.to_owned(),
            request: json!(call.correlation_id),
            reason: self.reason.clone(),
            expires_at: None,
        };
        let export = exports.export(self.account, subject, &asker).await?;
        // For nobody else on this machine.
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(folder)
            .with_context(|| format!("could not make {}", folder.display()))?;
        let write = |name: &str, text: String| {
            let path = folder.join(name);
            std::fs::write(&path, text)
                .with_context(|| format!("could not write {}", path.display()))
        };
        write("subject.json", serde_json::to_string_pretty(&export)?)?;
        write("subject.html", page(&export))?;
        writeln!(
            out,
            "wrote {} events and {} rows to {}",
            export.events.len(),
            export
                .read_models
                .iter()
                .map(|model| model.rows.len())
                .sum::<usize>(),
            folder.display()
        )?;
        let commands = self.commands().await?;
        let record = commands.subjects.record(self.account, subject).await?;
        match record.aggregate.access() {
            Access::Requested { .. } => {
                // What was written is handed over as it is.
                let handed_out = commands.subjects.hand_out(&call, subject, call.at);
                let (done, _) = handed_out.await?;
                said(&done, "answered the request", out)
            }
            Access::NotRequested | Access::Fulfilled { .. } => Ok(()),
        }
    }
}

impl PersonArgs {
    /// What the person is known by, where it is not an activity, stays out of the process list and of the shell's history.
    fn read(&self) -> Result<Person> {
        if let Some(activity) = self.activity {
            return Ok(Person::BuyerOf(ActivityId::from(activity)));
        }
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line)?;
        if self.visitor {
            let visitor = VisitorId::parse(line.trim_end());
            return visitor
                .map(Person::Visitor)
                .context("what standard input holds is no id of a visitor");
        }
        match Email::parse(&line) {
            Ok(email) => Ok(Person::Email(email)),
            Err(_) => bail!("what standard input holds is not an e-mail address"),
        }
    }
}

fn said(done: &Committed, what: &str, out: &mut (dyn Write + Send)) -> Result<()> {
    let state = if done.changed {
        what
    } else {
        "nothing changed"
    };
    writeln!(
        out,
        "{}  {state}, version {}",
        done.aggregate_id, done.version
    )?;
    Ok(())
}

fn show(row: &SubjectRow, out: &mut (dyn Write + Send)) -> Result<()> {
    let at = |at: DateTime<Utc>| at.to_rfc3339();
    let record = &row.record;
    writeln!(out, "person       {}", row.subject_id)?;
    for identity in record.identities() {
        writeln!(out, "also         {identity}")?;
    }
    for (purpose, consent) in record.consents() {
        match consent {
            Consent::Granted {
                text_version,
                at: since,
            } => {
                writeln!(
                    out,
                    "consents     to {purpose}, by {text_version:?}, since {}",
                    at(*since)
                )?;
            }
            Consent::Withdrawn { at: since } => {
                writeln!(out, "withdrew     {purpose}, at {}", at(*since))?;
            }
        }
    }
    match record.access() {
        Access::NotRequested => {}
        Access::Requested { due_at } => {
            writeln!(out, "access       requested, due at {}", at(due_at))?
        }
        Access::Fulfilled { expires_at } => {
            writeln!(out, "access       handed out, until {}", at(expires_at))?;
        }
    }
    writeln!(out, "erasure      {}", erasure(row))?;
    if let Some(case) = record.legal_hold() {
        writeln!(out, "legal hold   {case}")?;
    }
    Ok(())
}

fn erasure(row: &SubjectRow) -> String {
    match row.record.erasure() {
        Erasure::NotRequested => "not requested".to_owned(),
        Erasure::Requested { due_at } => format!("requested, due at {}", due_at.to_rfc3339()),
        Erasure::Erased { at, due_at: _ } => {
            format!("erased at {}, not certified yet", at.to_rfc3339())
        }
        Erasure::Certified { at } => format!("certified at {}", at.to_rfc3339()),
    }
}
