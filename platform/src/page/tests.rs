use axum::{Router, body::Body, routing::get};
use uuid::Uuid;

use super::*;
use crate::testing::{Answer, send};

/// A list of the numbers from 1 to 45.
async fn numbers(page: PageQuery) -> Result<Page<u32>, Problem> {
    let after = page.after::<u32>()?.unwrap_or(0);
    let rows = (after + 1..=45).take(page.limit as usize + 1).collect();
    page.page(rows, |number| *number)
}

async fn ask(query: &str) -> Answer {
    let router = Router::new().route("/numbers", get(numbers));
    let request = crate::testing::get(&format!("/numbers{query}"));
    send(&router, request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn following_the_links_visits_every_item_once() {
    let mut seen = Vec::new();
    let mut query = "?colour=red%26blue".to_owned();
    loop {
        let answer = ask(&query).await;
        let page = answer.json();
        for number in page["data"].as_array().unwrap() {
            seen.push(number.as_u64().unwrap());
        }
        if page["has_more"] == false {
            assert_eq!(page["next_cursor"], serde_json::Value::Null);
            assert!(!answer.headers.contains_key("link"));
            break;
        }
        let link = answer.header("link");
        query = link
            .strip_prefix('<')
            .unwrap()
            .strip_suffix(">; rel=\"next\"")
            .unwrap()
            .to_owned();
        assert!(
            query.starts_with("?colour=red%26blue&limit=20&cursor="),
            "{query}"
        );
        assert!(query.ends_with(page["next_cursor"].as_str().unwrap()));
    }
    assert_eq!(seen, (1..=45).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_full_last_page_has_nothing_after_it() {
    let answer = ask("?limit=45").await;
    assert_eq!(answer.json()["data"].as_array().unwrap().len(), 45);
    assert_eq!(answer.json()["has_more"], false);
}

#[tokio::test]
async fn the_limit_is_1_to_100() {
    for limit in ["1", "100"] {
        assert_eq!(ask(&format!("?limit={limit}")).await.status, 200);
    }
    for limit in ["0", "101", "-1", "ten", "", "1.5"] {
        let answer = ask(&format!("?limit={limit}")).await;
        let problem = answer.problem(ProblemKind::InvalidParameter);
        assert_eq!(
            problem.errors[0].parameter.as_deref(),
            Some("limit"),
            "{limit}"
        );
    }
}

#[tokio::test]
async fn a_cursor_that_is_not_ours_is_refused() {
    let of_another_list = Cursor::encode(&Uuid::nil()).unwrap();
    let of_another_version = BASE64_URL_SAFE_NO_PAD.encode(r#"{"v":2,"k":5}"#);
    let with_more = BASE64_URL_SAFE_NO_PAD.encode(r#"{"v":1,"k":5,"x":1}"#);
    let long = "A".repeat(CURSOR_BYTES_MAX + 1);
    for cursor in [
        "",
        "5",
        "!!",
        "e30",
        &of_another_list,
        &of_another_version,
        &with_more,
        &long,
    ] {
        ask(&format!("?cursor={cursor}"))
            .await
            .problem(ProblemKind::InvalidCursor);
    }
}

#[test]
fn a_cursor_carries_its_key() {
    let key = ("2026-11-21T00:00:00Z".to_owned(), Uuid::from_u128(7));
    let cursor = Cursor::encode(&key).unwrap();
    assert_eq!(Cursor::decode::<(String, Uuid)>(&cursor).unwrap(), key);
}

#[tokio::test]
async fn a_mapped_page_keeps_its_place() {
    let query = PageQuery {
        limit: 2,
        ..PageQuery::default()
    };
    let page = query.page(vec![1, 2, 3], |n| *n).unwrap().map(|n| n * 10);
    assert_eq!(page.data, [10, 20]);
    let response = page.into_response();
    assert!(response.headers().contains_key("link"));
}
