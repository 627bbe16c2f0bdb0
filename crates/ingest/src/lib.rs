#![forbid(unsafe_code)]
//! Listeners and connections of publishers. It drives one `rtmp::Session` per socket, asks its owner who may publish,
//! and hands over what a publisher sends. It never decides who may publish, and knows nothing of streams, ladders or
//! playlists.
//!
//! ```text
//!  socket ═bytes═▶ conn (drives Session) ──PublishRequest──▶ owner ──Decision { Lane }──▶ conn
//!                                        ═════FromPublisher═════▶ (bounded; when full the socket is left unread,
//!                                                                  and after STALL_LIMIT the publisher is closed)
//! ```

mod addresses;
mod conn;
mod listener;
mod paced;
mod publisher;

pub use addresses::{AddressList, BadAddress};
pub use conn::STALL_LIMIT;
pub use listener::{BindError, Listener, Settings};
pub use publisher::{Decision, FromPublisher, Lane, PublishRequest, Refusal};
pub use rtmp::{Metadata, RefusalCode, SecretText, Stats};
