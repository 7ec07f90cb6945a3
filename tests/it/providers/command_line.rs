//! What operators type.

use clap::Parser as _;

/// Wherever a platform's keys are named, they are named alike.
#[test]
fn the_provider_is_named_alike_on_both_command_lines() {
    let provider = [
        "--key-provider",
        "vault",
        "--vault-addr",
        "http://127.0.0.1:1",
    ];
    let replay = [
        "replay",
        "subject",
        "list",
        "00000000-0000-0000-0000-000000000000",
    ];
    replay_tools::Arguments::try_parse_from([&replay[..], &provider].concat()).unwrap();
    let up = ["proofline", "up"];
    proofline::cli::Arguments::try_parse_from([&up[..], &provider].concat()).unwrap();
    let unknown = ["--key-provider", "nobody"];
    assert!(proofline::cli::Arguments::try_parse_from([&up[..], &unknown].concat()).is_err());
}
