//! The demo, smaller: the one test that starts everything as a user does.

use std::process::Stdio;

use tokio::process::Command;

#[tokio::test]
async fn the_demo_finds_every_count_equal() {
    let directory = tempfile::tempdir().unwrap();
    // Postgres runs as another user and must be able to get there.
    std::fs::set_permissions(
        directory.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let data_dir = directory.path().join("demo");
    let demo = || {
        Command::new(crate::faults::program())
            .args([
                "demo",
                "--orders",
                "100",
                "--telemetry",
                "5000",
                "--data-dir",
            ])
            .arg(&data_dir)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
    };
    // Twice, because the second has to clear away what the first has left.
    for _ in 0..2 {
        let output = demo().await.unwrap();
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(output.status.success(), "{out}\n{err}");
        assert!(out.contains("counts are equal."), "{out}");
    }
    // A directory that no demo has made is nobody's to empty.
    std::fs::remove_file(data_dir.join(".demo")).unwrap();
    let refused = demo().await.unwrap();
    assert!(!refused.status.success());
    assert!(data_dir.join("keys.json").exists());
}
