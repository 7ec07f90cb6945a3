//! A platform whose keys are in AWS KMS, from an order to the certificate that its buyer is gone.

use std::path::Path;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use super::kms;
use crate::faults::Stage;
use crate::served::{SECRET, SHOP};

const DEADLINE: Duration = Duration::from_secs(60);

/// What is answered once it is there.
async fn until_there(request: impl Fn() -> RequestBuilder) -> String {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let answer = request().send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        if status.is_success() {
            return text;
        }
        assert!(Instant::now() < deadline, "{status}: {text}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_buyer_whose_keys_are_in_aws_kms_is_shown_and_erased_for_good_a_week_later() {
    let url = kms::url();
    let stage = Stage::set_with(&kms::environment(&url)).await;
    assert!(!stage.connections.key_file.exists(), "no key is in a file");
    let account = platform::api_key::ApiKey::parse(&stage.key)
        .unwrap()
        .account
        .to_string();
    let issue = ["issue-key", &account, "--scope", "compliance"];
    let issued = stage.account(&issue).await;
    let officer = issued.rsplit_once(' ').unwrap().1;

    let caller = stage.caller();
    let shop = json!({ "name": "Trail", "domain": "shop.example.com" });
    let site = caller.merchant("/v1/sites", &shop).await;
    let path = format!("/v1/sites/{}", site["id"].as_str().unwrap());
    let shop = json!({ "platform": "shopify", "shop_domain": SHOP, "webhook_secret": SECRET });
    let integration = caller
        .merchant(&format!("{path}/integrations"), &shop)
        .await;
    let draft = json!({ "name": "Sales", "message": "{first_name} bought {product}" });
    let notification = caller
        .merchant(&format!("{path}/notifications"), &draft)
        .await;
    let publish = format!(
        "{path}/notifications/{}/publish",
        notification["id"].as_str().unwrap()
    );
    caller.merchant(&publish, &json!({})).await;
    caller.deliver(integration["id"].as_str().unwrap(), 1).await;
    let client = reqwest::Client::new();
    let at = |path: &str| format!("http://127.0.0.1:{}{path}", stage.port);
    let embed_key = site["embed_key"].as_str().unwrap();
    let feed = async || -> Value {
        let feed = || client.get(at(&format!("/embed/v1/{embed_key}/feed")));
        serde_json::from_str(&until_there(feed).await).unwrap()
    };
    let deadline = Instant::now() + DEADLINE;
    while feed().await["items"][0]["first_name"] != "Anna" {
        assert!(Instant::now() < deadline, "{}", feed().await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    let person = json!({ "email": "anna.schmidt@example.com" });
    let register = || {
        let request = client.post(at("/v1/subjects")).bearer_auth(officer);
        request.json(&person)
    };
    let subject: Value = serde_json::from_str(&until_there(register).await).unwrap();
    let subject = subject["id"].as_str().unwrap();
    let request = format!("/v1/subjects/{subject}/erasure-requests");
    let asked_at = platform::clock::now();
    until_there(|| client.post(at(&request)).bearer_auth(officer)).await;
    let certificate = format!("/v1/subjects/{subject}/certificate");
    let note = until_there(|| client.get(at(&certificate)).bearer_auth(officer)).await;
    let (certificate, _) = note.split_once("\n\n").unwrap();
    let certificate: Value = serde_json::from_str(certificate).unwrap();
    let final_at: DateTime<Utc> = serde_json::from_value(certificate["final_at"].clone()).unwrap();
    let late = final_at - (asked_at + TimeDelta::days(7));
    assert!(late.abs() < TimeDelta::minutes(2), "{certificate}");
    let key = &certificate["keys"][0];
    let receipt = format!(
        "AWS KMS scheduled the deletion of key {} by request ",
        key["wrapped_by"].as_str().unwrap()
    );
    assert!(
        key["receipt"].as_str().unwrap().starts_with(&receipt),
        "{key}"
    );
    assert!(!feed().await.to_string().contains("Anna"));

    let replay = Path::new(env!("CARGO_BIN_EXE_replay-process"));
    let said = stage
        .run(
            replay,
            &[
                "--data-dir",
                stage.directory().to_str().unwrap(),
                "subject",
                "verify-erasure",
                &account,
                subject,
            ],
        )
        .await;
    assert_eq!(said.matches("ok  ").count(), 5, "{said}");
    stage.end().await;
}
