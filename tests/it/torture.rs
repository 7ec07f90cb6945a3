//! A short torture; `make torture` runs longer ones.

use tokio::process::Command;

#[tokio::test]
async fn a_minute_of_torture_violates_nothing() {
    let output = Command::new(env!("CARGO_BIN_EXE_torture"))
        .env("TORTURE_S", "60")
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
