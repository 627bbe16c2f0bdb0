//! Against a small server that plays the operator's program.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    body::Bytes as Body,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
    routing::post,
};

use super::*;

const SECRET: &str = "a secret of some length";

#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<(HeaderMap, Vec<u8>)>>,
    fail_first: AtomicUsize,
}

impl Seen {
    fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

/// The address of a server, and what it was sent. Its paths are what it answers.
async fn server(fail_first: usize) -> (SocketAddr, Arc<Seen>) {
    let seen = Arc::new(Seen { fail_first: fail_first.into(), ..Seen::default() });
    let note = |State(seen): State<Arc<Seen>>, headers: HeaderMap, body: Body| {
        seen.requests.lock().unwrap().push((headers, body.to_vec()));
        let fails =
            seen.fail_first.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        async move {
            match fails {
                Ok(_) => StatusCode::SERVICE_UNAVAILABLE,
                Err(_) => StatusCode::NO_CONTENT,
            }
        }
    };
    let router = Router::new()
        .route("/note", post(note))
        .route("/rename", post(|| async { r#"{"allow":true,"stream":"renamed"}"# }))
        .route("/deny", post(|| async { (StatusCode::FORBIDDEN, "Not on Sundays.") }))
        .route("/bad", post(|| async { "allow" }))
        .route("/long", post(|| async { "x".repeat(100_000) }))
        .route("/redirect", post(|| async { Redirect::temporary("/rename").into_response() }))
        .route("/slow", post(|| async { slow().await }))
        .with_state(seen.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (address, seen)
}

async fn slow() -> Response {
    tokio::time::sleep(Duration::from_secs(60)).await;
    StatusCode::NO_CONTENT.into_response()
}

fn hooks(address: SocketAddr, path: &str, queue: usize) -> (Hooks, Rest) {
    let url: Uri = format!("http://{address}{path}").parse().unwrap();
    let settings = Settings {
        on_publish: Some(url.clone()),
        on_unpublish: Some(url),
        secret: SecretText::new(SECRET),
        budget: Duration::from_millis(300),
        queue,
    };
    let patience =
        Patience { first: Duration::from_millis(10), longest: Duration::from_millis(40), attempts: 5 };
    Hooks::with_patience(settings, patience, Handle::current()).unwrap().unwrap()
}

fn facts() -> Facts {
    let claim = Claim::sample("192.0.2.7", "live", "studio", "key=s3cret&title=a");
    Facts::of(&claim, Some("studio"), "key", true)
}

async fn ask(path: &str) -> Word {
    let (address, _) = server(0).await;
    hooks(address, path, 8).0.ask(&facts()).await
}

#[tokio::test]
async fn allowed_renamed_and_denied_with_words() {
    assert_eq!(ask("/note").await, Word::Allow(Allowed::default()));
    let renamed = Allowed { stream: Some("renamed".parse().unwrap()), ..Allowed::default() };
    assert_eq!(ask("/rename").await, Word::Allow(renamed));
    assert_eq!(ask("/deny").await, Word::Deny("Not on Sundays.".to_owned()));
}

#[tokio::test]
async fn everything_else_fails_closed() {
    for (path, why) in [
        ("/bad", "not the JSON"),
        ("/long", "longer than"),
        ("/redirect", "307"),
        ("/slow", "no answer within"),
    ] {
        let word = ask(path).await;
        assert!(matches!(&word, Word::Unclear(text) if text.contains(why)), "{path}: {word:?}");
    }
    // Nobody listens there.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let word = hooks(address, "/note", 8).0.ask(&facts()).await;
    assert!(matches!(&word, Word::Unclear(text) if text.contains("request failed")), "{word:?}");
}

#[tokio::test]
async fn requests_are_signed_and_hold_no_proven_key() {
    let (address, seen) = server(0).await;
    let (hooks, _rest) = hooks(address, "/note", 8);
    hooks.ask(&facts()).await;
    let (headers, body) = seen.requests.lock().unwrap().pop().unwrap();
    let header = headers[sign::HEADER].to_str().unwrap();
    let seconds = header.strip_prefix("t=").unwrap().split(',').next().unwrap().parse().unwrap();
    assert_eq!(header, sign::signature(SECRET, seconds, &body));
    assert_ne!(header, sign::signature("another", seconds, &body));
    assert_eq!(headers["sluice-event"], "publish");
    let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(json["event"], "publish");
    assert_eq!((&json["stream"], &json["name"]), (&"studio".into(), &"studio".into()));
    assert_eq!((&json["query"], &json["proof"]), (&"title=a".into(), &"key".into()));
    assert!(!String::from_utf8(body).unwrap().contains("s3cret"));
}

#[test]
fn a_key_is_told_only_where_it_is_all_there_is_to_judge_by() {
    let alone = Claim::sample("192.0.2.7", "live", "s3cret", "");
    assert_eq!(Facts::of(&alone, Some("studio"), "key", true).name, None);
    assert_eq!(Facts::of(&alone, None, "none", false).name.as_deref(), Some("s3cret"));
}

#[tokio::test]
async fn notifications_are_tried_again_until_they_arrive() {
    let (address, seen) = server(3).await;
    let (hooks, rest) = hooks(address, "/note", 8);
    let mut publication = Publication::begin(Some(hooks.clone()), facts());
    publication.ends(true, "the encoder stopped the stream");
    drop(publication);
    for _ in 0..100 {
        if seen.count() == 4 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    rest.finish(Duration::from_secs(5)).await;
    let requests = seen.requests.lock().unwrap();
    assert_eq!(requests.len(), 4, "three failures and one success");
    let ids: std::collections::HashSet<_> =
        requests.iter().map(|(headers, _)| headers["sluice-delivery"].to_str().unwrap()).collect();
    assert_eq!(ids.len(), 1, "one delivery");
    let json: serde_json::Value = serde_json::from_slice(&requests[3].1).unwrap();
    assert_eq!((&json["event"], &json["clean"]), (&"unpublish".into(), &true.into()));
    assert_eq!(json["reason"], "the encoder stopped the stream");
}

#[tokio::test]
async fn the_queue_is_bounded_and_tried_once_more_at_the_end() {
    let (address, seen) = server(usize::MAX).await;
    let (hooks, rest) = hooks(address, "/note", 4);
    // None of these yields to the task that delivers, so that only the queue can take them.
    for _ in 0..50 {
        drop(Publication::begin(Some(hooks.clone()), facts()));
    }
    rest.finish(Duration::from_secs(5)).await;
    assert_eq!(seen.count(), 4, "what the queue held, once each");
}
