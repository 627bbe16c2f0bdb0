//! Who may watch: one gate in front of everything that viewers load.
//!
//! ```text
//!  request ─▶ headers for all (CORS) ─▶ gate ─▶ routes (the router here, recordings, …)
//!                                        │ takes the token out of the path
//!                                        └ refuses: 403, never cached
//! ```
//!
//! The gate reads paths, not routes: whatever is put under `/live/{name}/` or `/vod/{recording}/` is behind it, and so is
//! what the API tells of one stream.

mod client;
mod gate;
mod sites;
mod token;

use std::{fmt, sync::Arc};

use axum::Router;
use ipnet::IpNet;

pub use self::{
    sites::{BadSite, Sites},
    token::{BadKeys, BadToken, Claims, Keys, Scope, is_viewer},
};

/// Who may watch what.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// What opens streams that need a token.
    pub keys: Keys,
    /// Proxies whose word on their clients' addresses is taken.
    pub trusted_proxies: Vec<IpNet>,
    /// Sites whose pages may load streams and embed players.
    pub sites: Sites,
    /// What each stream asks of its viewers.
    pub policies: Policies,
}

/// What each stream asks of its viewers, by its name.
#[derive(Clone)]
pub struct Policies(Arc<dyn Fn(&str) -> Policy + Send + Sync>);

/// What one stream asks of its viewers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Policy {
    /// They need a token.
    pub signed: bool,
}

impl Policies {
    /// By a function of the stream's name, which is asked at each request.
    pub fn new(of: impl Fn(&str) -> Policy + Send + Sync + 'static) -> Self {
        Self(Arc::new(of))
    }

    /// What it asks.
    pub fn of(&self, stream: &str) -> Policy {
        (self.0)(stream)
    }
}

impl Default for Policies {
    fn default() -> Self {
        Self::new(|_| Policy::default())
    }
}

impl fmt::Debug for Policies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Policies")
    }
}

/// Everything that viewers load, behind the gate and with the headers that all answers have. `routes` is what
/// [`crate::router`] makes with the same `access`, and all that was merged into it.
pub fn guarded(routes: Router, access: Arc<Access>) -> Router {
    sites::headers(gate::in_front_of(routes, access.clone()), &access.sites)
}
