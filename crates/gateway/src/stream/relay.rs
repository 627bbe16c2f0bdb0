//! RTMP players of one live stream: each gets the source as it was published, from the newest keyframe on.
//!
//! Nothing is kept for them that the stream does not keep anyway, and a stream without players does nothing here.

use ingest::{Feed, Metadata, PlayDecision, subscription};
use media::{MediaEvent, Packet, TrackId};
use tokio::sync::oneshot;
use transcode::source::Source;

/// Players of one stream at once. Each costs a copy of every packet on its way into the socket.
const MOST_PLAYERS: usize = 256;

/// Players get the first picture and the first sound: what they read of several tracks differs too much.
const TRACK: TrackId = TrackId(0);

/// The players of one stream.
#[derive(Default)]
pub(super) struct Relay {
    feeds: Vec<Feed>,
}

impl Relay {
    /// Lets a player in. It begins with the configurations and with what is kept since the newest keyframe.
    pub(super) fn welcome(
        &mut self,
        reply: oneshot::Sender<PlayDecision>,
        source: Option<&Source>,
        configurations: &[MediaEvent],
        gop: &[Packet],
    ) {
        self.feeds.retain(Feed::is_read);
        if self.feeds.len() >= MOST_PLAYERS {
            let _ = reply.send(refused("Too many players watch this stream over RTMP; use its web page."));
            return;
        }
        let packets = gop.iter().filter(|packet| packet.track == TRACK);
        let events = configurations.iter().filter(|event| is_played(event)).cloned();
        let events = events.chain(packets.cloned().map(MediaEvent::Packet)).collect();
        let (feed, player) = subscription(source.map(metadata).unwrap_or_default(), events);
        // The player may have gone meanwhile.
        if reply.send(PlayDecision::Accept(player)).is_ok() {
            self.feeds.push(feed);
        }
    }

    /// Tells all players of a source's configurations.
    pub(super) fn announce(&mut self, configurations: &[MediaEvent]) {
        configurations.iter().filter(|event| is_played(event)).for_each(|event| self.send(event));
    }

    /// Passes one packet on.
    pub(super) fn packet(&mut self, packet: &Packet) {
        if !self.feeds.is_empty() && packet.track == TRACK {
            self.send(&MediaEvent::Packet(packet.clone()));
        }
    }

    /// Nothing follows.
    pub(super) fn end(&mut self, reason: &str) {
        self.feeds.drain(..).for_each(|feed| feed.end(reason));
    }

    fn send(&mut self, event: &MediaEvent) {
        self.feeds.retain(|feed| feed.push(event));
    }
}

/// A refusal in words for the player's user.
pub(crate) fn refused(sentence: &str) -> PlayDecision {
    PlayDecision::Refuse(sentence.to_owned())
}

fn is_played(configuration: &MediaEvent) -> bool {
    matches!(
        configuration,
        MediaEvent::VideoConfig(track, _) | MediaEvent::AudioConfig(track, _) if *track == TRACK
    )
}

fn metadata(source: &Source) -> Metadata {
    let video = source.video.as_ref().map(|video| &video.config);
    let audio = source.audio.as_ref().map(|audio| &audio.config);
    Metadata {
        width: video.map(|config| config.dimensions().0),
        height: video.map(|config| config.dimensions().1),
        frame_rate: video.and_then(|config| config.frame_rate()).map(|rate| rate.as_f64()),
        audio_sample_rate: audio.map(|config| config.sample_rate()),
        audio_channels: audio.map(|config| config.channels()).filter(|channels| *channels > 0),
        encoder: Some(concat!("Sluice ", env!("CARGO_PKG_VERSION")).to_owned()),
        ..Metadata::default()
    }
}
