//! Who may play, and what a player gets: the types that cross from a connection to its owner, and the queue between a
//! live stream and one player.
//!
//! ```text
//!  stream ══Feed::push══▶ queue (bounded, never waited for) ══Subscription══▶ conn ══▶ socket
//! ```
//! A player that reads too slowly loses what waits for it, and goes on at the next keyframe; one that keeps falling
//! behind is sent away.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use media::{MediaEvent, MediaSpan, MediaTime, TrackKind};
use rtmp::{Metadata, SecretText};
use tokio::sync::{Notify, oneshot};

/// Most bytes that wait for one player, beside the GOP it begins with.
const QUEUE_BYTES: usize = 4 << 20;
/// Most media that wait for one player.
const QUEUE_SPAN: MediaSpan = MediaSpan::from_millis(5_000);
/// A player that overruns its queue so often…
const OVERRUNS: u32 = 3;
/// … within so much of the stream is sent away.
const OVERRUN_SPAN: MediaSpan = MediaSpan::from_millis(60_000);

/// A client wants to play. Dropping `reply` refuses it.
#[derive(Debug)]
pub struct PlayRequest {
    /// Where it connects from.
    pub peer: SocketAddr,
    /// The RTMP application, the URL's path before the name.
    pub app: String,
    /// The stream's public name, or a key.
    pub name: SecretText,
    /// What stood behind `?` in application, URL or name, merged.
    pub query: SecretText,
    /// The user whose password it has proven.
    pub user: Option<String>,
    /// What the player calls itself.
    pub player: Option<String>,
    /// Where the decision goes.
    pub reply: oneshot::Sender<PlayDecision>,
}

/// The owner's answer.
#[derive(Debug)]
pub enum PlayDecision {
    /// It may play this.
    Accept(Subscription),
    /// It may not: a sentence for its user.
    Refuse(String),
}

/// A stream's end of a player's queue.
#[derive(Debug)]
pub struct Feed(Arc<Shared>);

/// A player's end of its queue.
#[derive(Debug)]
pub struct Subscription {
    /// What is known of the stream.
    pub metadata: Metadata,
    /// What the player begins with.
    first: VecDeque<MediaEvent>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    /// One reader waits on it.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    events: VecDeque<MediaEvent>,
    bytes: usize,
    /// Pictures are left out up to the next keyframe.
    skipping: bool,
    overruns: u32,
    /// When the first of `overruns` was.
    since: Option<MediaTime>,
    /// Set once nothing follows.
    end: Option<String>,
    reader_gone: bool,
}

/// A queue for one player that begins with `first`: configurations, and packets from a keyframe on, bounded by whoever
/// kept them.
pub fn subscription(metadata: Metadata, first: Vec<MediaEvent>) -> (Feed, Subscription) {
    let shared = Arc::new(Shared { queue: Mutex::new(Queue::default()), changed: Notify::new() });
    (Feed(shared.clone()), Subscription { metadata, first: first.into(), shared })
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Feed {
    /// Hands one event to the player, without waiting for it; false once it has gone or was sent away.
    pub fn push(&self, event: &MediaEvent) -> bool {
        let mut queue = self.0.queue();
        if queue.reader_gone || queue.end.is_some() {
            return false;
        }
        queue.push(event);
        let goes_on = queue.end.is_none();
        drop(queue);
        self.0.changed.notify_one();
        goes_on
    }

    /// Whether the player is still there.
    pub fn is_read(&self) -> bool {
        let queue = self.0.queue();
        !queue.reader_gone && queue.end.is_none()
    }

    /// Nothing follows: a sentence for the player's user.
    pub fn end(self, reason: &str) {
        self.0.queue().end.get_or_insert_with(|| reason.to_owned());
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.0.queue().end.get_or_insert_with(|| "The stream has ended.".to_owned());
        self.0.changed.notify_one();
    }
}

impl Subscription {
    /// The next event, or why there is none any more. May be dropped while it waits: nothing is lost.
    ///
    /// # Errors
    /// With a sentence for the player's user, once the stream has ended or the player was sent away.
    pub async fn next(&mut self) -> Result<MediaEvent, String> {
        loop {
            if let Some(next) = self.try_next() {
                return next;
            }
            self.shared.changed.notified().await;
        }
    }

    /// The same, if it is there already.
    pub fn try_next(&mut self) -> Option<Result<MediaEvent, String>> {
        if let Some(event) = self.first.pop_front() {
            return Some(Ok(event));
        }
        let mut queue = self.shared.queue();
        if let Some(event) = queue.pop() {
            return Some(Ok(event));
        }
        queue.end.clone().map(Err)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut queue = self.shared.queue();
        queue.reader_gone = true;
        queue.clear();
    }
}

impl Queue {
    fn push(&mut self, event: &MediaEvent) {
        if let MediaEvent::Packet(packet) = event {
            let behind = self.oldest().is_some_and(|oldest| packet.dts - oldest > QUEUE_SPAN);
            if behind || self.bytes + packet.data.len() > QUEUE_BYTES {
                self.overrun(packet.dts);
            }
            if packet.kind == TrackKind::Video && self.skipping {
                if !packet.keyframe {
                    return;
                }
                self.skipping = false;
            }
            self.bytes += packet.data.len();
        }
        self.events.push_back(event.clone());
    }

    fn pop(&mut self) -> Option<MediaEvent> {
        let event = self.events.pop_front()?;
        if let MediaEvent::Packet(packet) = &event {
            self.bytes -= packet.data.len();
        }
        Some(event)
    }

    fn oldest(&self) -> Option<MediaTime> {
        self.events.iter().find_map(|event| match event {
            MediaEvent::Packet(packet) => Some(packet.dts),
            _ => None,
        })
    }

    /// Lets go of all packets that wait; configurations stay.
    fn clear(&mut self) {
        self.events.retain(|event| !matches!(event, MediaEvent::Packet(_)));
        self.bytes = 0;
    }

    fn overrun(&mut self, now: MediaTime) {
        metrics::counter!("sluice_player_overruns_total").increment(1);
        self.clear();
        self.skipping = true;
        if self.since.is_none_or(|since| now - since > OVERRUN_SPAN) {
            (self.since, self.overruns) = (Some(now), 0);
        }
        self.overruns += 1;
        if self.overruns >= OVERRUNS {
            self.end = Some("The connection is too slow for this stream.".to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use media::{Packet, TrackId};

    use super::*;

    fn packet(kind: TrackKind, ms: i64, keyframe: bool, len: usize) -> MediaEvent {
        let at = MediaTime::from_ticks(90 * ms);
        let data = Bytes::from(vec![0; len]);
        MediaEvent::Packet(Packet { track: TrackId(0), kind, pts: at, dts: at, keyframe, data })
    }

    fn times(subscription: &mut Subscription) -> Vec<i64> {
        std::iter::from_fn(|| subscription.try_next()?.ok())
            .map(|event| match event {
                MediaEvent::Packet(packet) => packet.dts.ticks() / 90,
                _ => -1,
            })
            .collect()
    }

    #[test]
    fn what_is_kept_comes_first_and_does_not_count() {
        let first = (0..10).map(|n| packet(TrackKind::Video, n * 1000, n == 0, 1 << 20)).collect();
        let (feed, mut player) = subscription(Metadata::default(), first);
        assert!(feed.push(&packet(TrackKind::Video, 10_000, false, 1 << 20)));
        assert_eq!(times(&mut player), (0..11).map(|n| n * 1000).collect::<Vec<_>>());
        drop(feed);
        assert_eq!(player.try_next(), Some(Err("The stream has ended.".to_owned())));
    }

    #[test]
    fn a_slow_player_goes_on_at_the_next_keyframe() {
        let (feed, mut player) = subscription(Metadata::default(), vec![]);
        for n in 0..60 {
            assert!(feed.push(&packet(TrackKind::Video, n * 100, n % 25 == 0, 10)));
            assert!(feed.push(&packet(TrackKind::Audio, n * 100, true, 1)));
        }
        // At 5.1 s the queue held more than 5 s: sound goes on at once, pictures at 7.5 s.
        let kept = times(&mut player);
        assert_eq!(kept[0], 5100);
        assert_eq!(kept.len(), 9, "sound alone: {kept:?}");
        feed.push(&packet(TrackKind::Video, 7400, false, 10));
        feed.push(&packet(TrackKind::Video, 7500, true, 10));
        assert_eq!(times(&mut player), [7500]);
    }

    #[test]
    fn bytes_are_bounded_and_who_stays_behind_is_sent_away() {
        let (feed, mut player) = subscription(Metadata::default(), vec![]);
        let pushed = (0..100).take_while(|n| feed.push(&packet(TrackKind::Video, n * 40, true, 1 << 20)));
        assert_eq!(pushed.count(), 12, "three times 4 MiB");
        let shared = player.shared.clone();
        assert!(shared.queue().bytes <= QUEUE_BYTES);
        times(&mut player);
        assert!(matches!(player.try_next(), Some(Err(reason)) if reason.contains("too slow")));
        assert!(!feed.push(&packet(TrackKind::Video, 9000, true, 1)));
    }

    #[test]
    fn a_player_that_left_costs_nothing() {
        let (feed, player) = subscription(Metadata::default(), vec![]);
        assert!(feed.push(&packet(TrackKind::Video, 0, true, 100)));
        drop(player);
        assert!(!feed.push(&packet(TrackKind::Video, 40, false, 100)));
        assert_eq!(feed.0.queue().events.len(), 0);
    }

    #[tokio::test]
    async fn a_waiting_player_is_woken() {
        let (feed, mut player) = subscription(Metadata::default(), vec![]);
        let waiting = tokio::spawn(async move { player.next().await });
        tokio::task::yield_now().await;
        feed.push(&packet(TrackKind::Audio, 0, true, 1));
        assert!(waiting.await.unwrap().is_ok());
        let (feed, mut player) = subscription(Metadata::default(), vec![]);
        let waiting = tokio::spawn(async move { player.next().await });
        tokio::task::yield_now().await;
        feed.end("Over.");
        assert_eq!(waiting.await.unwrap(), Err("Over.".to_owned()));
    }
}
