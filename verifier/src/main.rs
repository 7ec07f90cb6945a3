//! The command `verifier`.

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use verifier::{Verify, Watch};

/// Checks what stands in the tables.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check everything once, while nobody writes
    Check(Verify),
    /// Follow both logs while others write, and journal what was seen
    Watch(Watch),
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    match Arguments::parse().command {
        Command::Check(args) => {
            let report = verifier::verify(&args).await?;
            writeln!(std::io::stdout(), "{report}")?;
            Ok(if report.violations() == 0 {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            })
        }
        Command::Watch(args) => {
            verifier::watch(&args).await?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
