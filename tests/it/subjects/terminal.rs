//! The same at a terminal, and evidence that nobody has to believe.

use super::{Office, SOMEONE, replay};

/// By the lines that docs/people.md gives to whoever believes nobody. Answers what they printed, or why they did not.
fn verified_by_python(certificate: &str, anchor: &std::path::Path) -> Result<String, String> {
    let page = include_str!("../../../docs/people.md");
    let script = page.split("```python\n").nth(1).unwrap();
    let script = script.split("```").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let statement = anchor.join("keys").join("000001.txt");
    let first = std::fs::read_to_string(&statement).unwrap();
    let first = first
        .lines()
        .find_map(|line| line.strip_prefix("key "))
        .unwrap();
    let ran = std::process::Command::new("python3")
        .arg(write("verify.py", script))
        .arg(write("certificate.txt", certificate))
        .arg(first)
        .arg(&statement)
        .output()
        .unwrap();
    if ran.status.success() {
        Ok(String::from_utf8(ran.stdout).unwrap())
    } else {
        Err(String::from_utf8(ran.stderr).unwrap())
    }
}

#[tokio::test]
async fn an_operator_answers_requests_at_a_terminal_and_looks_whether_somebody_is_gone() {
    let office = Office::open().await;
    let _projecting = office.projecting();
    office.order("Anna", 1).await;
    let world = &office.it.world;
    let (account, key_file) = (office.it.account.to_string(), world.key_file());
    let record = office.record_of("Anna").await;
    let id = record.rsplit_once('/').unwrap().1;
    let key_file = key_file.to_str().unwrap();
    let anchor = world.key_file().with_file_name("anchor");
    let run = async |command: &str, more: &[&str]| {
        let keys = [
            "--key-file",
            key_file,
            "--keys-database-url",
            &world.keys_url,
        ];
        let all = [&[command, &account, id], &keys[..], more].concat();
        replay(world, &all).await
    };
    assert!(
        run("request-access", &[])
            .await
            .unwrap()
            .contains("entered")
    );
    let folder = world.key_file().with_file_name("export");
    let (out, anchor_named) = (folder.to_str().unwrap(), anchor.to_str().unwrap());
    let said = run(
        "export",
        &[
            "--out",
            out,
            "--anchor",
            anchor_named,
            "--reason",
            "ticket:7",
        ],
    )
    .await
    .unwrap();
    assert!(said.contains("answered the request"), "{said}");
    let written = std::fs::read_to_string(folder.join("subject.json")).unwrap();
    assert!(written.contains("anna.schmidt@example.com"));
    assert!(folder.join("subject.html").is_file());

    let link = format!("{record}/identities");
    let someone = serde_json::json!({ "visitor_id": "v-7f3a" });
    office.enter(&link, someone).await.is(200);
    let known = |body: &serde_json::Value| body["identities"][0].is_string();
    let known = office.shows(&record, known).await;
    let identity = known["identities"][0].as_str().unwrap();
    let said = run("unlink", &[identity]).await.unwrap();
    assert!(said.contains("unlinked"), "{said}");

    run("hold", &["--case", "court/4711"]).await.unwrap();
    run("release", &[]).await.unwrap();
    let verify = ["--anchor", anchor.to_str().unwrap()];
    let early = run("verify-erasure", &verify).await.unwrap_err();
    assert!(
        format!("{early:#}").contains("FAILED  certificate"),
        "{early:#}"
    );
    assert!(
        run("request-erasure", &[])
            .await
            .unwrap()
            .contains("entered")
    );
    office.erase(&record).await;
    let shown = run("show", &[]).await.unwrap();
    assert!(shown.contains("certified at"), "{shown}");
    let certificate = run("certificate", &[]).await.unwrap();
    assert!(certificate.contains("proofline.erasure-certificate/1"));
    let verified = verified_by_python(&certificate, &anchor).unwrap();
    assert!(verified.contains(id), "{verified}");
    let altered = certificate.replace("\"positions\": [", "\"positions\": [7, ");
    assert_ne!(altered, certificate);
    let refused = verified_by_python(&altered, &anchor).unwrap_err();
    assert!(refused.contains("InvalidSignature"), "{refused}");
    office.pages_show(vec![SOMEONE]).await;
    let verified = run("verify-erasure", &verify).await.unwrap();
    assert_eq!(verified.matches("ok  ").count(), 5, "{verified}");

    // A row that was put back is found.
    let put_back =
        "update rm_proof_feed_v1.proof set buyer = (select payload -> 'buyer' from es.events
                    where event_type = 'activity.recorded' limit 1)";
    sqlx::query(put_back)
        .execute(&mut world.owner().await)
        .await
        .unwrap();
    let asked = [&verify[..], &["--reason", "ticket:8"]].concat();
    let found = format!("{:#}", run("verify-erasure", &asked).await.unwrap_err());
    assert!(found.contains("FAILED  read models"), "{found}");
    assert_eq!(found.matches("FAILED").count(), 1, "{found}");
    let noted = "select purpose, what ->> 'reason' from es.access_log where what ->> 'reason' is not null order by accessed_at";
    let noted: Vec<(String, String)> = sqlx::query_as(noted)
        .fetch_all(&mut world.owner().await)
        .await
        .unwrap();
    let expected = [
        ("subject_export", "ticket:7"),
        ("verify_erasure", "ticket:8"),
    ];
    assert_eq!(
        noted,
        expected.map(|(purpose, reason)| (purpose.to_owned(), reason.to_owned()))
    );
}
