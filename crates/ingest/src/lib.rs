#![forbid(unsafe_code)]
//! Listeners and connections of publishers and RTMP players. It drives one `rtmp::Session` per socket, asks its owner
//! who may connect, publish and play, hands over what a publisher sends and passes on what a player is to get. It never
//! decides who may, and knows nothing of streams, ladders or playlists.
//!
//! ```text
//!  socket ═bytes═▶ conn (drives Session) ──PublishRequest──▶ owner ──Decision { Lane }──▶ conn
//!                                        ═════FromPublisher═════▶ (bounded; when full the socket is left unread,
//!                                                                  and after STALL_LIMIT the publisher is closed)
//! ```

mod addresses;
mod conn;
mod hits;
mod listener;
mod owner;
mod paced;
mod player;
mod publisher;
mod shutdown;

pub use addresses::{AddressList, BadAddress};
pub use conn::STALL_LIMIT;
pub use listener::{BindError, Listener, Settings};
pub use owner::{ConnectRequest, Owner};
pub use player::{Feed, PlayDecision, PlayRequest, Subscription, subscription};
pub use publisher::{Decision, FromPublisher, Lane, PublishRequest, Refusal};
pub use rtmp::session::ConnectVerdict;
pub use rtmp::{Metadata, RefusalCode, SecretText, Stats};
pub use shutdown::Shutdown;
