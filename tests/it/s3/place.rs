use axum::Router;
use axum::extract::Request;
use axum::response::IntoResponse as _;
use event_store::{PlaceError, PlacePath};
use futures::future::join_all;
use reqwest::Client;

use super::Bucket;
use crate::moto;

#[tokio::test]
async fn of_all_who_write_the_same_name_one_does() {
    let bucket = Bucket::new().await;
    let path = PlacePath::from("keys/000001.txt");
    let places: Vec<_> = (0..20).map(|_| bucket.place("anchor")).collect();
    let writing = places.iter().enumerate().map(|(n, place)| {
        let bytes = format!("{n}").into_bytes();
        place.create(&path, bytes)
    });
    let written: Vec<bool> = join_all(writing)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let winners: Vec<usize> = (0..20).filter(|n| written[*n]).collect();
    assert_eq!(winners.len(), 1, "{written:?}");
    let stands = bucket.get("anchor/keys/000001.txt").await.unwrap();
    assert_eq!(stands, winners[0].to_string().into_bytes());
    assert!(!places[0].create(&path, stands).await.unwrap());
}

#[tokio::test]
async fn more_is_listed_than_a_store_tells_at_once() {
    let bucket = Bucket::new().await;
    let place = bucket.place("anchor");
    let names: Vec<_> = (0..2_050)
        .map(|n| PlacePath::from(format!("erased/{n:04}.txt")))
        .collect();
    for some in names.chunks(64) {
        let put = some.iter().map(|path| place.put(path, Vec::new()));
        assert!(join_all(put).await.iter().all(Result::is_ok));
    }
    let listed = place.list(&"erased".into()).await.unwrap();
    let listed: Vec<_> = listed.into_iter().map(|stored| stored.path).collect();
    assert_eq!(listed, names);
    let after = place
        .list_after(&"erased".into(), &names[999])
        .await
        .unwrap();
    let after: Vec<_> = after.into_iter().map(|stored| stored.path).collect();
    assert_eq!(after, names[1_000..]);
    assert_eq!(place.folders().await.unwrap(), ["erased"]);
    assert!(!place.is_empty().await.unwrap());
    assert!(bucket.place("elsewhere").is_empty().await.unwrap());
}

#[tokio::test]
async fn what_is_large_goes_in_parts_and_comes_back_in_pieces() {
    let bucket = Bucket::new().await;
    let place = bucket.place("backups");
    let path = PlacePath::from("a/large");
    let bytes: Vec<u8> = (0..40 << 20).map(|n: u32| (n % 251) as u8).collect();
    let written = place.write(&path, &*bytes).await.unwrap();
    assert_eq!(written.bytes, 40 << 20);
    assert_eq!(place.content(&path).await.unwrap(), written);
    assert!(bucket.get("backups/a/large").await.unwrap() == bytes);
    place.put(&"a/none".into(), Vec::new()).await.unwrap();
    assert_eq!(place.content(&"a/none".into()).await.unwrap().bytes, 0);
    place.remove_folder("a").await.unwrap();
    assert!(place.read(&path).await.unwrap_err().is_not_found());
    assert!(place.is_empty().await.unwrap());
}

/// Such stores exist: they know nothing of conditions, and overwrite.
#[tokio::test]
async fn a_store_that_writes_over_what_is_there_is_found_out_before_anything_is_written() {
    let unconditional = async |request: Request| {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        let mut headers = parts.headers;
        headers.remove("if-none-match");
        let url = format!("{}{}", moto::url(), parts.uri);
        let asked = Client::new().request(parts.method, url).headers(headers);
        let answer = asked.body(body).send().await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        (status, headers, answer.bytes().await.unwrap()).into_response()
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = axum::serve(listener, Router::new().fallback(unconditional));
    tokio::spawn(serving.into_future());
    let bucket = Bucket::new().await;
    let there = bucket.by(&format!("http://{address}"));
    let path = PlacePath::from("keys/000001.txt");
    for _ in 0..2 {
        let place = there.place("anchor");
        let refused = place.create(&path, b"first".to_vec()).await;
        assert!(
            matches!(refused, Err(PlaceError::WritesOver { .. })),
            "{refused:?}"
        );
    }
    assert_eq!(bucket.get("anchor/keys/000001.txt").await, None);
    assert!(
        bucket
            .place("anchor")
            .create(&path, b"first".to_vec())
            .await
            .unwrap()
    );
}
