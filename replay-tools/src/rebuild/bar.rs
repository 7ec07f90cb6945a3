//! A rebuild, or a trial, in a terminal: what it does, how fast, and for how long still.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use projections::rebuild::{Progressed, Stage};
use tokio::sync::watch;
use tokio::task::JoinHandle;

const TICK: Duration = Duration::from_millis(200);

/// Shows what is told until nobody tells any more. Nothing where there is no terminal. Ends once
/// the bar is gone.
pub(crate) fn show(mut progress: watch::Receiver<Progressed>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let bar = ProgressBar::no_length();
        bar.enable_steady_tick(TICK);
        let mut shown = None;
        while progress.changed().await.is_ok() {
            let Progressed { stage, done, total } = *progress.borrow_and_update();
            if shown != Some(stage) {
                shown = Some(stage);
                bar.reset();
                bar.set_style(style(total > 0));
                bar.set_message(message(stage));
                bar.set_length(total.cast_unsigned());
            }
            bar.set_position(done.cast_unsigned());
        }
        bar.finish_and_clear();
    })
}

fn message(stage: Stage) -> String {
    match stage {
        Stage::Preparing => "preparing".to_owned(),
        Stage::Folding { pass: 1 } => "reading the log".to_owned(),
        Stage::Folding { pass } => format!("reading the log, pass {pass}"),
        Stage::Loading => "loading".to_owned(),
        Stage::Indexing => "indexing".to_owned(),
        Stage::CatchingUp => "catching up".to_owned(),
        Stage::Comparing => "comparing".to_owned(),
    }
}

fn style(counted: bool) -> ProgressStyle {
    let template = if counted {
        "{msg} {wide_bar} {human_pos}/{human_len} events, {per_sec}, {eta} left"
    } else {
        "{spinner} {msg}, {elapsed}"
    };
    // The templates are constants; a broken one shows the default.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
