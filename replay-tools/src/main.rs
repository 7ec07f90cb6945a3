//! The command `replay`.

use std::process::ExitCode;

use clap::Parser as _;
use platform::telemetry::{self, Format};
use replay_tools::Arguments;

#[tokio::main]
async fn main() -> ExitCode {
    let _telemetry = telemetry::init(Format::Pretty, "replay");
    match replay_tools::run(Arguments::parse(), &mut std::io::stdout()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The whole chain in one line: for a person in a terminal, not for a debugger.
            eprintln!("replay: {error:#}");
            ExitCode::FAILURE
        }
    }
}
