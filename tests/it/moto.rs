//! AWS KMS and S3, as moto emulates them: one process for all tests, in which each has keys and buckets of its own.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;

static SHARED: LazyLock<Moto> = LazyLock::new(|| Moto::start(&[]));

/// It ends when its standard input does, which is when this process ends.
pub(crate) struct Moto {
    pub(crate) url: String,
    _child: Child,
}

impl Moto {
    pub(crate) fn start(environment: &[(&str, &str)]) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut child = Command::new(root.join(".proofline/aws/bin/python"))
            .arg(root.join("tests/aws/serve.py"))
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("an emulator of AWS; `make test` installs it");
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut port)
            .unwrap();
        Self {
            url: format!("http://127.0.0.1:{}", port.trim()),
            _child: child,
        }
    }
}

/// Of the one that is shared.
pub(crate) fn url() -> String {
    SHARED.url.clone()
}
