//! `replay audit rotate-key`.

use std::io::Write;

use anyhow::Result;
use event_store::seal::Sealer;

pub(super) async fn run(sealer: &Sealer, out: &mut (dyn Write + Send)) -> Result<()> {
    let key = sealer.rotate().await?;
    writeln!(out, "{key}")?;
    writeln!(
        out,
        "signs from the next head on; the key before it introduced it, and the first one is still the one to note"
    )?;
    Ok(())
}
