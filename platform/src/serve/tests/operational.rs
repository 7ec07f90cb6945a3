use super::*;
use crate::openapi::SECURITY_SCHEME;

#[tokio::test]
async fn a_live_process_says_so() {
    let answer = ask(&api(), "/healthz").await;
    assert_eq!(
        (answer.status.as_u16(), answer.body.as_str()),
        (200, r#"{"status":"alive"}"#)
    );
}

#[tokio::test(start_paused = true)]
async fn readiness_names_what_is_down_and_not_why() {
    let ready = finish(business(), ops().ready("log", async || Ok(())));
    let answer = ask(&ready, "/readyz").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["status"], "ready");

    let hanging: fn() -> BoxFuture<'static, Result<(), String>> =
        || Box::pin(std::future::pending());
    let ops = ops()
        .ready("log", async || Ok(()))
        .ready("cache", async || Err("10.0.0.1 refused".to_owned()))
        .ready("analytics", hanging);
    let answer = ask(&finish(business(), ops), "/readyz").await;
    assert_eq!(answer.status, 503);
    let expected = serde_json::json!({
        "status": "not_ready",
        "checks": [
            { "name": "log", "state": "up" },
            { "name": "cache", "state": "down" },
            { "name": "analytics", "state": "down" },
        ],
    });
    assert_eq!(answer.json(), expected);
}

#[tokio::test]
async fn metrics_have_routes_for_labels_and_never_paths() {
    let api = finish(business().route("/metered/{id}", get(async || "ok")), ops());
    let id = "019a0c5e-7b1e-7cc1-9d8a-0b4c8d1f2a10";
    ask(&api, &format!("/metered/{id}")).await;
    ask(&api, "/metered/two").await;
    ask(&api, "/not-a-route-4711").await;
    let brew = Request::builder().method("BREW").uri("/metered/1");
    send(&api, brew.body(Body::empty()).unwrap()).await;

    let metrics = ask(&api, "/metrics").await;
    assert!(
        metrics
            .header("content-type")
            .starts_with("text/plain; version=0.0.4")
    );
    for line in [
        r#"proofline_http_requests_total{method="GET",route="/metered/{id}",status="200"} 2"#,
        r#"proofline_http_requests_total{method="GET",route="unmatched",status="404"}"#,
        r#"proofline_http_requests_total{method="other",route="/metered/{id}",status="405"} 1"#,
        r#"proofline_http_request_duration_seconds_bucket{method="GET",route="/metered/{id}",le="0.001"}"#,
        "proofline_http_requests_in_flight ",
    ] {
        assert!(
            metrics.body.contains(line),
            "no {line} in\n{}",
            metrics.body
        );
    }
    for path in [id, "4711", "BREW"] {
        assert!(!metrics.body.contains(path), "{path} in\n{}", metrics.body);
    }
}

#[tokio::test]
async fn the_document_has_problems_and_the_bearer_scheme_for_all() {
    let document = ask(&api(), "/openapi.json").await.json();
    let answers = &document["paths"]["/things/{id}"]["get"]["responses"];
    assert_eq!(answers["200"]["description"], "A thing.");
    assert_eq!(
        answers["default"]["content"]["application/problem+json"]["schema"]["$ref"],
        "#/components/schemas/ProblemBody"
    );
    let components = &document["components"];
    assert_eq!(
        components["schemas"]["ProblemBody"]["properties"]["type"]["type"],
        "string"
    );
    assert!(components["schemas"]["FieldError"].is_object());
    assert_eq!(
        components["securitySchemes"][SECURITY_SCHEME]["scheme"],
        "bearer"
    );
}

#[tokio::test]
async fn the_documentation_page_comes_from_our_own_host() {
    let api = api();
    let page = ask(&api, "/docs/").await;
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy");
    assert!(policy.contains("default-src 'none'"), "{policy}");
    assert!(!policy.contains("http"), "{policy}");
    assert!(
        !page.body.contains("http://") && !page.body.contains("https://"),
        "{}",
        page.body
    );
    assert!(
        !page.body.contains("<script>"),
        "the policy forbids inline scripts"
    );
    for asset in [
        "swagger-ui.css",
        "swagger-ui-bundle.js",
        "swagger-initializer.js",
    ] {
        assert!(page.body.contains(asset), "{}", page.body);
        let answer = ask(&api, &format!("/docs/{asset}")).await;
        assert_eq!(answer.status, 200, "{asset}");
        assert_eq!(answer.header("content-security-policy"), policy);
    }
    let initializer = ask(&api, "/docs/swagger-initializer.js").await.body;
    assert!(initializer.contains("/openapi.json"), "{initializer}");
    assert!(
        initializer.contains(r#""validatorUrl": "none""#),
        "{initializer}"
    );
}

#[tokio::test]
async fn a_problem_type_resolves_to_its_description() {
    for kind in ProblemKind::ALL {
        let answer = ask(&api(), &format!("/problems/{}", kind.slug())).await;
        assert_eq!(answer.status, 200);
        assert_eq!(
            answer.header("content-type"),
            "text/markdown; charset=utf-8"
        );
        assert!(answer.body.starts_with(&format!("## {}\n", kind.slug())));
        assert_eq!(answer.body.matches("## ").count(), 1);
    }
    ask(&api(), "/problems/other")
        .await
        .problem(ProblemKind::NotFound);
}
