//! A domain belongs to one site, whoever registers it.

use futures::future::join_all;
use reqwest::Method;
use serde_json::json;

use crate::served::{Served, answered};

fn site(domain: &str) -> serde_json::Value {
    json!({ "name": "Trail", "domain": domain })
}

#[tokio::test]
async fn a_second_site_with_the_same_domain_is_refused_and_told_nothing_of_the_first() {
    let it = Served::start().await;
    let other_key = it.other_key().await;
    let first = it.post("/v1/sites", site("shop.example.com")).await.is(201);
    let before = it.events().await;
    for key in [&it.key, &other_key] {
        // Written otherwise, it is the same.
        for domain in ["shop.example.com", " Shop.EXAMPLE.com"] {
            let register = it
                .request(Method::POST, "/v1/sites")
                .bearer_auth(key)
                .json(&site(domain));
            let refused = answered(register).await.problem(409, "taken");
            assert_eq!(refused.body["code"], "site_domain_taken");
            let told = refused.body.to_string();
            for secret in [first.body["id"].as_str().unwrap(), &it.account.to_string()] {
                assert!(!told.contains(secret), "{told}");
            }
        }
    }
    assert_eq!(it.events().await, before);
    it.post("/v1/sites", site("www.shop.example.com"))
        .await
        .is(201);
    for _ in 0..2 {
        it.post("/v1/sites", site("localhost")).await.is(201);
    }
}

#[tokio::test]
async fn of_sixteen_that_register_a_domain_at_once_exactly_one_has_it() {
    let it = Served::start().await;
    let other = it.other_key().await;
    for round in 0..5 {
        let site = site(&format!("shop-{round}.example.com"));
        let registrations = (0..16).map(|n| {
            answered(
                it.request(Method::POST, "/v1/sites")
                    .bearer_auth([&it.key, &other][n % 2])
                    .header("idempotency-key", format!("{round}-{n}"))
                    .json(&site),
            )
        });
        let answers = join_all(registrations).await;
        let won = answers.iter().filter(|answer| answer.status == 201).count();
        assert_eq!(won, 1);
        for lost in answers.into_iter().filter(|answer| answer.status != 201) {
            lost.problem(409, "taken");
        }
    }
}

#[tokio::test]
async fn whoever_has_the_domain_is_answered_the_same_when_he_repeats_his_request() {
    let it = Served::start().await;
    let register = |key: &'static str| {
        answered(
            it.request(Method::POST, "/v1/sites")
                .bearer_auth(&it.key)
                .header("idempotency-key", key)
                .json(&site("shop.example.com")),
        )
    };
    let first = register("one").await.is(201);
    assert_eq!(register("one").await.is(201).body, first.body);
    register("two").await.problem(409, "taken");
    register("two").await.problem(409, "taken");
    assert_eq!(register("one").await.is(201).body, first.body);
}
