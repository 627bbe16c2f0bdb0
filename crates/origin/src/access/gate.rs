//! The gate: takes the token out of a path, and lets through who may watch what the rest of it names.

use std::{net::IpAddr, sync::Arc, time::SystemTime};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{Method, Response, StatusCode, Uri, uri::PathAndQuery},
    middleware::{self, Next},
};
use metrics::{counter, describe_counter};

use super::{Access, BadToken, Claims, Scope, client::Client};
use crate::reply::Reply;

/// Puts the gate before `routes`.
pub(super) fn in_front_of(routes: Router, access: Arc<Access>) -> Router {
    describe_counter!("sluice_http_gate_refusals_total", "requests that the gate refused, by reason");
    // A fallback, so that the gate comes before any path is looked up, and may change it.
    Router::new().fallback_service(routes).layer(middleware::from_fn_with_state(access, pass))
}

async fn pass(State(access): State<Arc<Access>>, mut request: Request, next: Next) -> Response<Body> {
    let head = request.method() == Method::HEAD;
    let (token, rest) = split(request.uri().path());
    let refusal = match place(rest) {
        Place::Guarded(scope) => access.refusal(&scope, token, &request),
        // The page is no secret; what it plays may be.
        Place::Page => None,
        Place::Open if token.is_none() => None,
        // Nothing else has a form with a token.
        Place::Open | Place::Nowhere => Some(nothing()),
    };
    if let Some(refusal) = refusal {
        return refusal.into_response(head);
    }
    if token.is_some() {
        match without_token(request.uri(), rest) {
            Some(uri) => *request.uri_mut() = uri,
            None => return nothing().into_response(head),
        }
    }
    next.run(request).await
}

fn nothing() -> Reply {
    Reply::not_found("There is nothing at this address.", None)
}

/// What a path is for the gate.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// A stream's or a recording's own.
    Guarded(Scope),
    /// A player's page.
    Page,
    /// Everybody's.
    Open,
    /// Where something guarded would be, but in no spelling of ours: what is behind must not come to read it otherwise.
    Nowhere,
}

/// `/t/{token}/rest` in its two halves.
fn split(path: &str) -> (Option<&str>, &str) {
    let Some((token, _)) = path.strip_prefix("/t/").and_then(|rest| rest.split_once('/')) else {
        return (None, path);
    };
    (Some(token), &path["/t/".len() + token.len()..])
}

fn place(path: &str) -> Place {
    let rest = path.strip_prefix('/').unwrap_or(path);
    let (first, rest) = rest.split_once('/').unwrap_or((rest, ""));
    let scope = |kind: &str, rest: &str| {
        let name = rest.split('/').next().unwrap_or_default();
        format!("{kind}/{name}").parse().map_or(Place::Nowhere, Place::Guarded)
    };
    match first {
        "live" | "vod" => scope(first, rest),
        "watch" | "embed" => Place::Page,
        // A list of tokens is no path of ours.
        "t" => Place::Nowhere,
        "api" => match rest.strip_prefix("v1/streams/") {
            Some(rest) => scope("live", rest),
            None => Place::Open,
        },
        // An escaped letter could come to mean one of the above further in.
        _ if first.contains('%') => Place::Nowhere,
        _ => Place::Open,
    }
}

fn without_token(uri: &Uri, rest: &str) -> Option<Uri> {
    let path: PathAndQuery = match uri.query() {
        Some(query) => format!("{rest}?{query}").parse().ok()?,
        None => rest.parse().ok()?,
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).ok()
}

impl Access {
    /// Why a request for something of `scope` may not go on; `None` when it may.
    fn refusal(&self, scope: &Scope, token: Option<&str>, request: &Request) -> Option<Reply> {
        let client = Client::of(request, &self.trusted_proxies);
        let bad = self.claims(scope, token, client.address).err()?;
        counter!("sluice_http_gate_refusals_total", "reason" => bad.reason()).increment(1);
        Some(Reply::refuse(StatusCode::FORBIDDEN, &bad.to_string(), Some(scope.stream())))
    }

    /// What the token of somebody at `address` says, if it opens `scope`; `None` for one that does not, where none is
    /// needed.
    ///
    /// # Errors
    /// When one is needed and this one does not open it.
    pub fn claims(
        &self,
        scope: &Scope,
        token: Option<&str>,
        address: Option<IpAddr>,
    ) -> Result<Option<Claims>, BadToken> {
        let claims = || {
            let token = token.filter(|token| !token.is_empty()).ok_or(BadToken::Missing)?;
            let claims = self.keys.read(token)?;
            claims.admit(scope, address, SystemTime::now())?;
            Ok(claims)
        };
        match claims() {
            Ok(claims) => Ok(Some(claims)),
            Err(bad) if self.policies.of(scope.stream()).signed => Err(bad),
            Err(_) => Ok(None),
        }
    }
}
