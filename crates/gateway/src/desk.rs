//! The desk that publishers come to: proves keys, finds or starts the stream, and decides about a second publisher.
//!
//! A publisher gives its secret key as the stream key, or the stream's public name with the key in the query
//! (`NAME?key=KEY`). Names in URLs are public; keys are not.

use std::collections::HashMap;

use ingest::{Decision, Lane, PublishRequest, Refusal, RefusalCode, SecretText};
use media::StreamName;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::{
    config::OnShutdown,
    store::{Store, StoreError},
    stream::{self, Handle, LANE, Publisher, Shared},
};

/// Decides about publishers until `stop`, then stops all streams in the way `how` says and returns.
pub(crate) async fn run(
    shared: Shared,
    takeover: bool,
    how: OnShutdown,
    mut requests: mpsc::Receiver<PublishRequest>,
    stop: CancellationToken,
) {
    let mut streams: HashMap<StreamName, Handle> = stream::resume_all(&shared).into_iter().collect();
    loop {
        let request = tokio::select! {
            () = stop.cancelled() => break,
            request = requests.recv() => match request {
                Some(request) => request,
                None => break,
            },
        };
        let decision = decide(&shared, takeover, &mut streams, &request).await;
        // The connection may have gone meanwhile; its stream then sees an empty lane and holds.
        let _ = request.reply.send(decision);
    }
    for handle in streams.values() {
        handle.stop(how).await;
    }
}

async fn decide(
    shared: &Shared,
    takeover: bool,
    streams: &mut HashMap<StreamName, Handle>,
    request: &PublishRequest,
) -> Decision {
    let (store, name, query) = (shared.store.clone(), request.name.clone(), request.query.clone());
    // A slow disk must not hold other streams up.
    let proof = tokio::task::spawn_blocking(move || prove(&store, &name, &query)).await;
    let name = match proof.unwrap_or(Ok(None)) {
        Ok(Some(name)) => name,
        Ok(None) => {
            warn!(peer = %request.peer, app = request.app, "a publisher with an unknown key");
            return refuse(
                RefusalCode::BadName,
                "Unknown stream key. Check it, or make one with: sluice keys add NAME",
            );
        }
        Err(cause) => {
            error!(error = &cause as &dyn std::error::Error, "keys cannot be looked up");
            return refuse(RefusalCode::Denied, "The server cannot check stream keys just now; try again.");
        }
    };
    if !takeover && streams.get(&name).is_some_and(Handle::is_published) {
        warn!(peer = %request.peer, stream = %name, "a second publisher is refused");
        return refuse(RefusalCode::BadName, "This stream is being published by another encoder.");
    }
    let (lane, packets) = mpsc::channel(LANE);
    let (farewell, bid) = watch::channel(None);
    let mut publisher = Publisher { peer: request.peer, encoder: request.encoder.clone(), packets, farewell };
    if let Some(handle) = streams.get(&name) {
        match handle.publish(publisher).await {
            Ok(()) => return Decision::Accept(Lane { packets: lane, farewell: bid }),
            Err(back) => publisher = back, // it has ended: the name gets a new stream
        }
    }
    streams.insert(name.clone(), stream::start(shared, name, publisher));
    Decision::Accept(Lane { packets: lane, farewell: bid })
}

/// The stream whose key the publisher has, by the key alone or by name and key.
fn prove(store: &Store, name: &SecretText, query: &SecretText) -> Result<Option<StreamName>, StoreError> {
    let name = name.expose().trim();
    if let Some(stream) = store.stream_of_key(name.as_bytes())? {
        return Ok(Some(stream));
    }
    let key = query.expose().split('&').find_map(|pair| pair.strip_prefix("key="));
    let Some(key) = key else { return Ok(None) };
    let stream = store.stream_of_key(key.as_bytes())?;
    Ok(stream.filter(|stream| stream.as_str() == name))
}

fn refuse(code: RefusalCode, description: &str) -> Decision {
    Decision::Refuse(Refusal { code, description: description.to_owned() })
}
