#![forbid(unsafe_code)]
//! Listeners and connections of publishers and RTMP players, over every transport that RTMP has: plain, inside TLS, in
//! HTTP requests. It drives one `rtmp::Session` for each, asks its owner who may connect, publish and play, hands over
//! what a publisher sends and passes on what a player is to get. It never decides who may, and knows nothing of streams,
//! ladders or playlists.
//!
//! ```text
//!  socket ─▶ door (limits) ─▶ greet (first byte) ─┬─▶ TLS ─▶ greet
//!                                                 ├─▶ http ─▶ tunnels ─▶ pipe ─▶ conn
//!                                                 └─▶ conn
//!
//!  bytes ═════════▶ conn (drives Session) ──PublishRequest──▶ owner ──Decision { Lane }──▶ conn
//!                                        ═════FromPublisher═════▶ (bounded; when full the socket is left unread,
//!                                                                  and after Settings::stall the publisher is closed)
//! ```

mod addresses;
mod conn;
mod door;
mod flow;
mod greet;
mod hall;
mod hits;
mod http;
mod listener;
mod owner;
mod paced;
mod pipe;
mod player;
mod publisher;
mod shutdown;
pub mod tls;
mod transport;
mod tunnels;

pub use addresses::{AddressList, BadAddress};
pub use door::Places;
pub use hits::worth_a_line;
pub use listener::{BindError, Listener, Settings};
pub use owner::{ConnectRequest, Owner};
pub use player::{Feed, PlayDecision, PlayRequest, Subscription, subscription};
pub use publisher::{Decision, FromPublisher, Lane, PublishRequest, Refusal};
pub use rtmp::session::ConnectVerdict;
pub use rtmp::{Metadata, RefusalCode, SecretText, Stats};
pub use shutdown::Shutdown;
pub use transport::{BadTransport, Transport, Transports};
