//! RTMP players: which stream they ask for, and whether they may have it.

use std::{collections::HashMap, sync::Arc};

use ingest::{PlayDecision, PlayRequest};
use media::StreamName;
use origin::access::{Access, Scope};
use tracing::{error, info};

use super::{
    Place,
    claim::Claim,
    gate::{Gate, Opened},
};
use crate::config::PlayAccess;

/// The stream that `request` may play, if there were one of that name.
pub(super) async fn find(
    gate: Arc<Gate>,
    play: PlayAccess,
    access: Arc<Access>,
    request: PlayRequest,
) -> (PlayRequest, Option<StreamName>) {
    let claim = Claim::of_player(&request);
    let stream = match play {
        PlayAccess::Public => claim.public_name().filter(|name| {
            let scope = Scope::Live(name.clone());
            access.claims(&scope, claim.token(), Some(claim.address)).is_ok()
        }),
        PlayAccess::Key => match gate.opened(&claim).await {
            Ok(Opened::Stream(stream, _)) => Some(stream),
            Ok(Opened::Elsewhere | Opened::Nothing) => None,
            Err(cause) => {
                error!(error = &cause as &dyn std::error::Error, "keys cannot be looked up");
                None
            }
        },
        PlayAccess::Off => None,
    };
    (request, stream)
}

/// Gives a player to its stream. What is not live, and what may not be played, reads alike.
pub(super) async fn seat(
    places: &HashMap<StreamName, Place>,
    request: PlayRequest,
    stream: Option<StreamName>,
) {
    let place = stream.and_then(|stream| Some((places.get(&stream)?, stream)));
    let refused = match place {
        Some((place, stream)) => {
            info!(peer = %request.peer, %stream, "somebody plays over RTMP");
            place.handle.play(request.reply).await.err()
        }
        None => Some(request.reply),
    };
    if let Some(reply) = refused {
        let sentence = "There is no such live stream, or it may not be played.".to_owned();
        let _ = reply.send(PlayDecision::Refuse(sentence)); // the player may have gone
    }
}
