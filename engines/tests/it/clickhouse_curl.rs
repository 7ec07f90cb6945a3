//! Examples of ClickHouse's own documentation of its HTTP interface, by real curl.

use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::harness::ClickHouse;

/// `echo INPUT | curl … URL?PARAMETERS`; the text of the answer.
async fn curl(server: &ClickHouse, input: &str, parameters: &str, options: &[&str]) -> String {
    let mut child = Command::new("curl")
        .arg("-sS")
        .arg(format!("{}{parameters}", server.url()))
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).await.unwrap();
    drop(stdin);
    String::from_utf8(child.wait_with_output().await.unwrap().stdout).unwrap()
}

const BODY: &[&str] = &["--data-binary", "@-"];

#[tokio::test]
async fn the_examples_of_the_documentation_work() {
    let server = ClickHouse::start().await;
    let server = &server;
    assert_eq!(curl(server, "", "", &[]).await, "Ok.\n");
    assert_eq!(curl(server, "", "ping", &[]).await, "Ok.\n");
    assert_eq!(curl(server, "", "replicas_status", &[]).await, "Ok.\n");
    assert_eq!(curl(server, "", "?query=SELECT%201", &[]).await, "1\n");
    assert_eq!(curl(server, "SELECT 1\n", "", BODY).await, "1\n");
    assert_eq!(curl(server, "SELECT 1\n", "?query=", BODY).await, "1\n");
    assert_eq!(curl(server, "1\n", "?query=SELECT", BODY).await, "1\n");
    let broken = curl(server, "ECT 1\n", "?query=SEL", BODY).await;
    assert!(
        broken.starts_with("Code: 62. DB::Exception: Syntax error"),
        "{broken}"
    );

    assert_eq!(
        curl(server, "CREATE TABLE t (a UInt8) ENGINE = Memory", "", BODY).await,
        ""
    );
    assert_eq!(
        curl(server, "INSERT INTO t VALUES (1),(2),(3)", "", BODY).await,
        ""
    );
    assert_eq!(
        curl(
            server,
            "(4),(5),(6)",
            "?query=INSERT%20INTO%20t%20VALUES",
            BODY
        )
        .await,
        ""
    );
    assert_eq!(
        curl(
            server,
            "(7),(8),(9)",
            "?query=INSERT%20INTO%20t%20FORMAT%20Values",
            BODY
        )
        .await,
        ""
    );
    assert_eq!(
        curl(
            server,
            "10\n11\n12\n",
            "?query=INSERT%20INTO%20t%20FORMAT%20TabSeparated",
            BODY
        )
        .await,
        ""
    );
    assert_eq!(
        curl(
            server,
            "",
            "?query=SELECT%20a%20FROM%20t%20ORDER%20BY%20a",
            &[]
        )
        .await,
        "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n"
    );
    assert_eq!(curl(server, "DROP TABLE t", "", BODY).await, "");

    let parameters = "?param_id=2&param_phrase=test";
    let sql = "SELECT {id:UInt8} AS id, {phrase:String} AS phrase FORMAT CSV";
    assert_eq!(curl(server, sql, parameters, BODY).await, "2,\"test\"\n");
    let sql = r"SELECT splitByChar('\t', {arg1:String})";
    assert_eq!(
        curl(server, sql, "?param_arg1=abc%5C%09123", BODY).await,
        "['abc','123']\n"
    );
    let numbers = "SELECT number FROM numbers LIMIT 10";
    assert_eq!(
        curl(server, numbers, "?database=system", BODY).await,
        "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n"
    );
    let header = [
        "-H",
        "X-ClickHouse-Database: system",
        "-H",
        "X-ClickHouse-Format: JSONEachRow",
    ];
    let one = "SELECT number FROM numbers LIMIT 1";
    assert_eq!(
        curl(server, one, "", &[BODY, &header].concat()).await,
        "{\"number\":0}\n"
    );
    let form = ["-F", "query=SELECT {a:Array(UInt8)}", "-F", "param_a=[1,2]"];
    assert_eq!(curl(server, "", "", &form).await, "[1,2]\n");
}

#[tokio::test]
async fn credentials_come_in_all_of_clickhouses_ways() {
    let server = ClickHouse::start().await;
    let url = reqwest::Url::parse(server.url()).unwrap();
    let (user, password) = (url.username(), url.password().unwrap());
    let bare = format!("http://127.0.0.1:{}/", url.port().unwrap());
    for options in [
        vec![format!(
            "{bare}?query=SELECT%201&user={user}&password={password}"
        )],
        vec![
            format!("{bare}?query=SELECT%201"),
            "-u".to_owned(),
            format!("{user}:{password}"),
        ],
        vec![
            format!("{bare}?query=SELECT%201"),
            "-H".to_owned(),
            format!("X-ClickHouse-User: {user}"),
            "-H".to_owned(),
            format!("X-ClickHouse-Key: {password}"),
        ],
    ] {
        let output = Command::new("curl")
            .arg("-sS")
            .args(&options)
            .output()
            .await
            .unwrap();
        assert_eq!(output.stdout, b"1\n", "{options:?}");
    }
    let refused = Command::new("curl")
        .args(["-sS", &format!("{bare}?query=SELECT%201")])
        .output()
        .await
        .unwrap();
    assert!(refused.stdout.starts_with(b"Code: 516."));
    server.stop().await;
}
