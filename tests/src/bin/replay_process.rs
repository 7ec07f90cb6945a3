//! `replay` as a process of its own, whatever else was built.

use anyhow::Result;
use clap::Parser as _;
use replay_tools::Arguments;

#[tokio::main]
async fn main() -> Result<()> {
    replay_tools::run(Arguments::parse(), &mut std::io::stdout()).await
}
