//! The desk that publishers come to, and RTMP players ([`players`]): decides who may publish ([`gate`]), finds or starts the stream, and decides about a
//! second publisher.
//!
//! ```text
//!  PublishRequest ─▶ admission, a task each: Gate ─▶ seat: one at a time ─▶ Decision
//! ```
//!
//! A publisher gives its secret key as the stream key, or the stream's public name with the key in the query
//! (`NAME?key=KEY`). Names in URLs are public; keys are not.
//!
//! A second publisher takes over, if `publish.takeover` says so and it showed a key, or comes from the address of the
//! first; endless fights are stopped ([`fights`]).

pub(crate) mod claim;
mod fights;
pub(crate) mod gate;
mod players;
pub(crate) mod rules;
pub(crate) mod webhook;

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::Arc,
    time::{Instant, SystemTime},
};

use ingest::{Decision, Lane, PlayRequest, PublishRequest, Refusal, RefusalCode};
use media::StreamName;
use origin::access::Access;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::{
    claim::Claim,
    fights::Fights,
    gate::{Admitted, Gate, count},
    webhook::Publication,
};
use crate::{
    config::{Config, OnShutdown, PlayAccess},
    serve,
    stream::{self, Handle, LANE, Publisher, Shared},
};

/// Publishers being decided about at once; more wait in the queue before the desk, and their connections with them.
const MOST_ASKING: usize = 256;

/// Everything the desk goes by.
pub(crate) struct Desk {
    /// What streams share.
    pub shared: Shared,
    /// Who may publish.
    pub gate: Arc<Gate>,
    /// See `publish.takeover`.
    pub takeover: bool,
    /// See `play.access`.
    pub play: PlayAccess,
    /// Who may watch.
    pub access: Arc<Access>,
    /// For publications with settings of their own.
    pub config: Arc<Config>,
}

/// One stream, as the desk sees it.
struct Place {
    handle: Handle,
    /// Who published it last.
    holder: Option<IpAddr>,
    fights: Fights,
}

type Outcome = (PublishRequest, Claim, Result<Admitted, Refusal>);

impl Desk {
    /// Decides about publishers until `stop`, then stops all streams in the way `how` says and returns.
    pub(crate) async fn run(
        self,
        how: OnShutdown,
        mut requests: mpsc::Receiver<PublishRequest>,
        mut players: mpsc::Receiver<PlayRequest>,
        stop: CancellationToken,
    ) {
        let resumed = stream::resume_all(&self.shared).into_iter();
        let mut places: HashMap<StreamName, Place> =
            resumed.map(|(name, handle)| (name, Place::new(handle))).collect();
        let mut asking: JoinSet<Outcome> = JoinSet::new();
        let mut looking = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(decided) = asking.join_next() => {
                    // A panic in an admission drops the request, which refuses it.
                    if let Ok((request, claim, outcome)) = decided {
                        self.answer(&mut places, request, &claim, outcome).await;
                    }
                }
                Some(found) = looking.join_next() => {
                    if let Ok((request, stream)) = found {
                        players::seat(&places, request, stream).await;
                    }
                }
                Some(request) = players.recv(), if looking.len() < MOST_ASKING => {
                    looking.spawn(players::find(self.gate.clone(), self.play, self.access.clone(), request));
                }
                request = requests.recv(), if asking.len() < MOST_ASKING => match request {
                    Some(request) => {
                        let gate = self.gate.clone();
                        asking.spawn(async move {
                            let claim = Claim::of(&request);
                            let outcome = gate.decide(&claim).await;
                            (request, claim, outcome)
                        });
                    }
                    None => break,
                },
            }
        }
        for place in places.values() {
            place.handle.stop(how).await;
        }
    }

    async fn answer(
        &self,
        places: &mut HashMap<StreamName, Place>,
        request: PublishRequest,
        claim: &Claim,
        outcome: Result<Admitted, Refusal>,
    ) {
        if request.reply.is_closed() {
            return; // it left while it was decided about
        }
        let decision = match outcome {
            Ok(admitted) => match self.free(places, claim, &admitted) {
                Ok(()) => {
                    count(admitted.proof.as_str());
                    Decision::Accept(self.seat(places, &request, claim, admitted).await)
                }
                Err(refusal) => Decision::Refuse(refusal),
            },
            Err(refusal) => Decision::Refuse(refusal),
        };
        // The connection may have gone meanwhile; its stream then sees an empty lane and holds.
        let _ = request.reply.send(decision);
    }

    /// Whether the stream is free for a publisher: nobody publishes it, or who does may be replaced.
    fn free(
        &self,
        places: &mut HashMap<StreamName, Place>,
        claim: &Claim,
        admitted: &Admitted,
    ) -> Result<(), Refusal> {
        let Some(place) = places.get_mut(&admitted.stream).filter(|place| place.handle.is_published()) else {
            return Ok(());
        };
        let busy = |description: String| Refusal { code: RefusalCode::BadName, description };
        let (stream, address) = (&admitted.stream, claim.address);
        if !self.takeover || !admitted.proof.shows_secret() && place.holder != Some(address) {
            warn!(%address, %stream, "a second publisher is refused");
            count("refused_busy");
            return Err(busy("This stream is being published by another encoder.".to_owned()));
        }
        if !place.handle.is_sending() {
            return Ok(()); // its connection is dead, most likely that of the same encoder
        }
        place.fights.take_over(Instant::now()).map_err(|wait| {
            warn!(%address, %stream, ?wait, "encoders fight for a stream; the one that has it keeps it for now");
            count("refused_fight");
            busy(format!(
                "Two encoders keep taking this stream from each other. Stop one of them, or try again in {} s.",
                wait.as_secs_f64().ceil()
            ))
        })
    }

    /// Gives a publisher to its stream, which is started if there is none.
    async fn seat(
        &self,
        places: &mut HashMap<StreamName, Place>,
        request: &PublishRequest,
        claim: &Claim,
        admitted: Admitted,
    ) -> Lane {
        let Admitted { stream: name, facts, ladder, .. } = admitted;
        let wishes = (!ladder.is_empty()).then(|| {
            info!(stream = %name, ?ladder, "the webhook on_publish gives the stream's ladder");
            Box::new(serve::wishes(&ladder.apply(&self.config.of_stream(name.as_str()))))
        });
        let (lane, packets) = mpsc::channel(LANE);
        let (farewell, bid) = watch::channel(None);
        let mut publisher = Publisher {
            peer: request.peer,
            transport: request.transport,
            since: SystemTime::now(),
            encoder: request.encoder.clone(),
            quirks: Vec::new(),
            packets,
            farewell,
            publication: Publication::begin(self.gate.hooks.clone(), facts),
            wishes,
        };
        let lane = Lane { packets: lane, farewell: bid };
        if let Some(place) = places.get_mut(&name) {
            match place.handle.publish(publisher).await {
                Ok(()) => {
                    place.holder = Some(claim.address);
                    return lane;
                }
                Err(back) => publisher = back, // it has ended: the name gets a new stream
            }
        }
        places.retain(|_, place| !place.handle.has_ended());
        let mut place = Place::new(stream::start(&self.shared, name.clone(), publisher));
        place.holder = Some(claim.address);
        places.insert(name, place);
        lane
    }
}

impl Place {
    fn new(handle: Handle) -> Self {
        Self { handle, holder: None, fights: Fights::default() }
    }
}
