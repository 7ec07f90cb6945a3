//! Another account's ids open nothing, on any route.

use event_store::Role;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::served::{Served, Shop, answered};

/// Routes without a tenant's id in their path, and those that anybody may call.
const WITHOUT_TENANT: &[&str] = &[
    "/v1/sites",
    "/v1/audit",
    "/v1/audit/access",
    "/v1/consents",
    "/v1/consents/withdraw",
    "/v1/subjects",
    "/v1/events/stream",
    "/v1/graphql",
    "/collect",
];
const PUBLIC: &[&str] = &["/hooks/{integration_id}", "/embed/v1/{embed_key}/feed"];

#[tokio::test]
async fn every_route_answers_another_accounts_ids_with_not_found() {
    let it = Served::start().await;
    let shop = it.shop().await;
    let person = person(&it).await;
    let (key, officer) = (it.other_key().await, it.other_officers_key().await);
    let openapi = answered(it.request(Method::GET, "/openapi.json"))
        .await
        .body;
    let before = it.events().await;
    let mut walked = 0;
    for (template, operations) in openapi["paths"].as_object().unwrap() {
        if WITHOUT_TENANT.contains(&template.as_str())
            || PUBLIC.contains(&template.as_str())
            || !template.starts_with("/v1")
        {
            continue;
        }
        for (method, operation) in operations.as_object().unwrap() {
            let Ok(method) = Method::from_bytes(method.to_uppercase().as_bytes()) else {
                continue;
            };
            let body = body_for(template, &method, operation);
            let key = match template.starts_with("/v1/subjects") {
                true => &officer,
                false => &key,
            };
            for (owned, person) in [(&shop, &person), (&nobodys(), &nobody())] {
                let mut request = it
                    .request(method.clone(), &fill(template, owned, person))
                    .bearer_auth(key);
                if let Some(body) = &body {
                    request = request.json(body);
                }
                let mut refused = answered(request).await.problem(404, "not-found");
                for changing in ["request_id", "instance"] {
                    refused.body[changing] = Value::Null;
                }
            }
            walked += 1;
        }
    }
    assert!(walked >= 22, "only {walked} operations were walked");
    assert_eq!(it.events().await, before, "nothing was done");
}

#[tokio::test]
async fn lists_and_streams_show_nothing_of_another_account() {
    let it = Served::start().await;
    it.shop().await;
    it.catch_up().await;
    let key = it.other_key().await;
    let sites = answered(it.request(Method::GET, "/v1/sites").bearer_auth(&key))
        .await
        .is(200);
    assert_eq!(sites.body["data"], json!([]));
}

#[tokio::test]
async fn a_notification_is_not_found_under_another_site_of_the_same_account() {
    let it = Served::start().await;
    let (one, other) = (it.shop().await, it.shop().await);
    it.catch_up().await;
    let path = format!(
        "/v1/sites/{}/notifications/{}",
        other.site_id, one.notification_id
    );
    it.get(&path).await.problem(404, "not-found");
    it.post(&format!("{path}/pause"), json!({}))
        .await
        .problem(404, "not-found");
}

#[tokio::test]
async fn readers_and_officers_see_nothing_without_an_account_or_of_another() {
    let it = Served::start().await;
    it.shop().await;
    it.catch_up().await;
    let tables: Vec<(String, String, String)> = sqlx::query_as(
        "select table_schema::text, table_name::text, column_name::text from information_schema.columns
         where column_name in ('account_id', 'tenant_id') and table_schema ~ '^(es|rm_.*)$'",
    )
    .fetch_all(&mut it.world.owner().await)
    .await
    .unwrap();
    for role in [Role::Reader, Role::Compliance] {
        looked_at_as(&it, role, &tables).await;
    }
}

async fn looked_at_as(it: &Served, role: Role, tables: &[(String, String, String)]) {
    let pool = it.world.pool(role);
    let mut looked = 0;
    for (schema, table, _) in tables {
        for account in ["", &Uuid::now_v7().to_string(), &it.account.to_string()] {
            let mut tx = event_store::begin(&pool).await.unwrap();
            sqlx::query("select set_config('proofline.account', $1, true)")
                .bind(account)
                .execute(&mut *tx)
                .await
                .unwrap();
            let counted: Result<i64, _> =
                sqlx::query_scalar(&format!("select count(*) from {schema}.{table}"))
                    .fetch_one(&mut *tx)
                    .await;
            match counted {
                Ok(rows) if account == it.account.to_string() => looked += rows,
                Ok(rows) => assert_eq!(rows, 0, "{schema}.{table} as {account:?}"),
                Err(error) => assert!(
                    error.to_string().contains("permission denied"),
                    "{schema}.{table}: {error}"
                ),
            }
        }
    }
    assert!(looked > 0, "the account itself sees its rows");
}

/// Ids that nobody has.
fn nobodys() -> Shop {
    let id = || Uuid::now_v7().to_string();
    Shop {
        site_id: id(),
        notification_id: id(),
        integration_id: id(),
        embed_key: String::new(),
    }
}

struct Person {
    subject_id: String,
    /// Linked to their record.
    identity_id: String,
}

async fn person(it: &Served) -> Person {
    let officer = it.key_with("compliance").await;
    let send = async |request: RequestBuilder| answered(request.bearer_auth(&officer)).await;
    let enter = async |path: &str, email: &str| {
        let body = json!({ "email": email });
        send(it.request(Method::POST, path).json(&body)).await
    };
    let registered = enter("/v1/subjects", "anna@example.com").await.is(201);
    let subject_id = registered.body["id"].as_str().unwrap().to_owned();
    let record = format!("/v1/subjects/{subject_id}");
    let link = format!("{record}/identities");
    enter(&link, "annie@example.com").await.is(200);
    it.catch_up().await;
    let read = send(it.request(Method::GET, &record)).await.is(200);
    Person {
        subject_id,
        identity_id: read.body["identities"][0].as_str().unwrap().to_owned(),
    }
}

fn nobody() -> Person {
    Person {
        subject_id: Uuid::now_v7().to_string(),
        identity_id: Uuid::now_v7().to_string(),
    }
}

fn fill(template: &str, shop: &Shop, person: &Person) -> String {
    let path = template
        .replace("{site_id}", &shop.site_id)
        .replace("{notification_id}", &shop.notification_id)
        .replace("{integration_id}", &shop.integration_id)
        .replace("{subject_id}", &person.subject_id)
        .replace("{identity_id}", &person.identity_id);
    assert!(
        !path.contains('{'),
        "{template} has a parameter that this test does not know"
    );
    path
}

/// A valid body, so that nothing but whose it is can be the reason of a refusal.
fn body_for(template: &str, method: &Method, operation: &Value) -> Option<Value> {
    operation.get("requestBody")?;
    Some(match (template, method.as_str()) {
        ("/v1/sites/{site_id}", "PATCH") => json!({ "name": "Mine now" }),
        ("/v1/sites/{site_id}/notifications", "POST") => {
            json!({ "name": "N", "message": "{product}" })
        }
        ("/v1/sites/{site_id}/integrations", "POST") => {
            json!({ "platform": "shopify", "shop_domain": "a.myshopify.com", "webhook_secret": "s" })
        }
        ("/v1/subjects/{subject_id}/identities", "POST") => json!({ "email": "b@example.com" }),
        ("/v1/subjects/{subject_id}/legal-hold", "POST") => json!({ "case": "court/1" }),
        ("/v1/sites/{site_id}/activities", "POST") => json!({ "kind": "sign_up" }),
        _ => panic!("{method} {template} has a body that this test does not know"),
    })
}
