//! The command `proofline`.

use std::process::ExitCode;

use clap::Parser as _;
use proofline::cli::{self, Arguments};

#[tokio::main]
async fn main() -> ExitCode {
    match cli::run(Arguments::parse()).await {
        Ok(code) => code,
        Err(error) => {
            // The whole chain in one line: for a person in a terminal, not for a debugger.
            eprintln!("proofline: {error:#}");
            ExitCode::FAILURE
        }
    }
}
