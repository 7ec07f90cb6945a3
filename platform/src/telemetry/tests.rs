use std::sync::{Arc, Mutex};

use tracing::Level;
use tracing_subscriber::fmt::MakeWriter;

use super::*;

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Written {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[test]
fn a_span_is_kept_after_somebody_asked_and_then_logged_nothing() {
    let written = Written::default();
    let lines = fmt::layer()
        .with_writer(written.clone())
        .with_filter(asked_anew(EnvFilter::new("info")));
    // Wants more, as traces do, so that the two have to be asked one by one.
    let traces = fmt::layer()
        .with_writer(io::sink)
        .with_filter(asked_anew(LevelFilter::DEBUG));
    let subscriber = tracing_subscriber::registry().with(traces).with(lines);
    tracing::subscriber::with_default(subscriber, || {
        let _ = tracing::enabled!(Level::DEBUG);
        tracing::info_span!("the_request").in_scope(|| tracing::info!("answered"));
    });
    let written = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    assert!(written.contains("the_request"), "{written}");
}
