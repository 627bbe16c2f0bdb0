//! What a worker may say. It decodes what strangers send, so one day its words may be a stranger's: whatever comes from
//! it is held against its job and what was put in, before anybody computes with it. A worker that says what cannot be
//! is ended like one that crashed.
//!
//! Not looked at is what the pictures themselves hold: that concerns this stream's viewers alone.

use media::{
    AudioConfig, MediaSpan, MediaTime, Packet, TrackId, TrackKind, VideoCoding, VideoConfig, aac, h264,
};

use super::protocol::FromWorker;
use crate::{AudioJob, Job, Output, VideoRung};

/// Outputs lie this close to what was put in: sound and stills that fill holes, encoders' delays.
const MARGIN: MediaSpan = MediaSpan::from_millis(10_000);
/// An encoder that is opened again may begin so much before the last one's end.
const STEP_BACK: MediaSpan = MediaSpan::from_millis(2_000);
/// What a packet costs beside its bytes.
const PACKET_COST: u64 = 100;
/// Bytes that may be said beyond what the rates allow.
const GRACE: u64 = 1 << 20;
/// Messages in a row that are no output.
const MOST_WORDLESS: u32 = 1000;
/// Most parameter sets, and bytes of one.
const MOST_SETS: (usize, usize) = (64, 64 << 10);

/// A message that cannot be.
#[derive(Debug, thiserror::Error)]
#[error("the worker says what cannot be: {0}")]
pub(super) struct Impossible(String);

/// Holds a worker's words against its job.
#[derive(Debug)]
pub(super) struct Guard {
    ready: bool,
    rungs: Vec<VideoRung>,
    sounds: Vec<AudioJob>,
    /// Of the rungs, then of the sounds.
    accounts: Vec<Account>,
    wordless: u32,
}

/// How much one encoder has said.
#[derive(Debug)]
struct Account {
    /// Bits a second, and at once.
    rate_bps: u64,
    burst_bits: u64,
    bytes: u64,
    first: Option<MediaTime>,
    newest: MediaTime,
}

impl Guard {
    pub(super) fn new(job: &Job) -> Self {
        let rungs = job.video.as_ref().map(|video| video.rungs.clone()).unwrap_or_default();
        let pictures = rungs.iter().map(|rung| (rung.settings.maxrate_bps, rung.settings.bufsize_bits));
        let sounds = job.audio.iter().map(|sound| (sound.settings.bitrate_bps, sound.settings.bitrate_bps));
        let accounts = pictures.chain(sounds).map(|(rate, burst)| Account {
            rate_bps: rate.into(),
            burst_bits: burst.into(),
            bytes: 0,
            first: None,
            newest: MediaTime::ZERO,
        });
        Self { ready: false, accounts: accounts.collect(), rungs, sounds: job.audio.clone(), wordless: 0 }
    }

    /// Whether its codecs are open.
    pub(super) fn is_ready(&self) -> bool {
        self.ready
    }

    /// Looks at a message; `put_in` is the earliest and latest time that was put in.
    ///
    /// # Errors
    /// When it cannot be.
    pub(super) fn check(
        &mut self,
        message: &FromWorker,
        put_in: Option<(MediaTime, MediaTime)>,
    ) -> Result<(), Impossible> {
        let FromWorker::Output(output) = message else {
            self.wordless += 1;
            return match message {
                _ if self.wordless > MOST_WORDLESS => no("nothing but counters"),
                FromWorker::Load(load) if load.rungs.len() != self.rungs.len() => no("loads of other rungs"),
                _ => Ok(()),
            };
        };
        self.wordless = 0;
        match output {
            Output::Ready { .. } if self.ready => no("it is ready twice"),
            Output::Ready { video, audio } => {
                self.ready = true;
                self.pictures(video)?;
                self.sounds(audio)
            }
            Output::Failed(_) => Ok(()),
            _ if !self.ready => no("outputs before its codecs are open"),
            Output::Video { rung, packet } => {
                let at_rung = self.accounts.get_mut(*rung).filter(|_| *rung < self.rungs.len());
                match at_rung {
                    Some(account) if packet.kind == TrackKind::Video => account.take(packet, put_in),
                    Some(_) => no("sound for a picture"),
                    None => no(&format!("a picture of rung {rung}")),
                }
            }
            Output::Audio(packet) => {
                let sound = self.sounds.iter().position(|sound| sound.track == packet.track);
                match sound.and_then(|sound| self.accounts.get_mut(self.rungs.len() + sound)) {
                    Some(account) if packet.kind == TrackKind::Audio => account.take(packet, put_in),
                    _ => no(&format!("sound of track {}", packet.track.0)),
                }
            }
            Output::Rungs { from, by, video } => {
                let known =
                    by.len() == self.rungs.len() && by.iter().flatten().all(|by| *by < self.rungs.len());
                // The beginning of time stands for the first word of a worker that starts with rungs shed.
                let placed = from.ticks() == i64::MIN || within(*from, put_in);
                if known && placed { self.pictures(video) } else { no("rungs that are not there") }
            }
            Output::Drained { rung } if *rung >= self.rungs.len() => {
                no("the end of a rung that is not there")
            }
            _ => Ok(()),
        }
    }

    fn pictures(&self, configs: &[VideoConfig]) -> Result<(), Impossible> {
        if configs.len() != self.rungs.len() {
            return no(&format!("{} rungs, its job has {}", configs.len(), self.rungs.len()));
        }
        for (config, rung) in configs.iter().zip(&self.rungs) {
            if config.dimensions() != (rung.width, rung.height) {
                return no(&format!("{} in another size", rung.name));
            }
            let config = match config {
                VideoConfig::H264(config) => config,
                // nothing is computed of these but the name of the coding
                VideoConfig::Other(other)
                    if rung.settings.encoder.coding() == VideoCoding::Other(other.codec) =>
                {
                    continue;
                }
                VideoConfig::Other(_) => return no(&format!("{} in another coding", rung.name)),
            };
            let sets = || config.sps_units.iter().chain(&config.pps_units);
            if sets().count() > MOST_SETS.0 || sets().any(|set| set.len() > MOST_SETS.1) {
                return no("parameter sets beyond measure");
            }
            let again = h264::Config::from_units(config.sps_units.clone(), config.pps_units.clone());
            if again.as_ref() != Ok(config) {
                return no(&format!("a configuration of {} that is another's", rung.name));
            }
        }
        Ok(())
    }

    fn sounds(&self, configs: &[(TrackId, AudioConfig)]) -> Result<(), Impossible> {
        let as_asked = configs.len() == self.sounds.len()
            && configs.iter().zip(&self.sounds).all(|((track, config), sound)| match config {
                AudioConfig::Aac(config) => {
                    *track == sound.track && aac::Config::parse(&config.asc).as_ref() == Ok(config)
                }
                AudioConfig::Other(_) => false,
            });
        if as_asked { Ok(()) } else { no("configurations of sound that are others'") }
    }
}

impl Account {
    fn take(&mut self, packet: &Packet, put_in: Option<(MediaTime, MediaTime)>) -> Result<(), Impossible> {
        if !within(packet.dts, put_in) || !within(packet.pts, put_in) {
            return no(&format!("a packet at {} ticks, far from what was put in", packet.pts.ticks()));
        }
        let first = *self.first.get_or_insert(packet.dts);
        if packet.dts < first - STEP_BACK || (self.bytes > 0 && packet.dts < self.newest - STEP_BACK) {
            return no("time goes back");
        }
        self.newest = if self.bytes == 0 { packet.dts } else { self.newest.max(packet.dts) };
        self.bytes += packet.data.len() as u64 + PACKET_COST;
        let micros = (self.newest - first + STEP_BACK).ticks().max(0) as u64 * 100 / 9;
        // Twice what rate control keeps to, for encoders that keep to it loosely.
        let allowed = (self.rate_bps / 8 * micros / 1_000_000 + self.burst_bits / 8) * 2
            + GRACE
            + micros / 1000 * PACKET_COST / 4;
        if self.bytes > allowed { no("more bytes than its job allows") } else { Ok(()) }
    }
}

fn within(at: MediaTime, put_in: Option<(MediaTime, MediaTime)>) -> bool {
    put_in.is_some_and(|(from, to)| (from - MARGIN..=to + MARGIN).contains(&at))
}

fn no(what: &str) -> Result<(), Impossible> {
    Err(Impossible(what.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{Load, Sandbox, Stats, ladder::AudioSettings};

    fn guard() -> Guard {
        let settings = AudioSettings { sample_rate: 48_000, channels: 2, bitrate_bps: 96_000 };
        let config = Arc::new(AudioConfig::Aac(aac::Config::lc(48_000, 2).unwrap()));
        let job = Job {
            video: None,
            audio: vec![AudioJob { track: TrackId(3), config, settings }],
            memory_limit: 0,
            fault: None,
            sandbox: Sandbox::Off,
            patience: std::time::Duration::ZERO,
        };
        Guard::new(&job)
    }

    fn ready(track: u8) -> FromWorker {
        let config = AudioConfig::Aac(aac::Config::lc(48_000, 2).unwrap());
        FromWorker::Output(Output::Ready { video: Vec::new(), audio: vec![(TrackId(track), config)] })
    }

    fn sound(track: u8, kind: TrackKind, ticks: i64, size: usize) -> FromWorker {
        let at = MediaTime::from_ticks(ticks);
        let data = vec![0; size].into();
        FromWorker::Output(Output::Audio(Packet {
            track: TrackId(track),
            kind,
            pts: at,
            dts: at,
            keyframe: true,
            data,
        }))
    }

    /// The first message of these that is refused, and why.
    fn refused(messages: impl IntoIterator<Item = FromWorker>) -> Option<(usize, String)> {
        let mut guard = guard();
        let put_in = Some((MediaTime::ZERO, MediaTime::from_ticks(90_000 * 60)));
        messages
            .into_iter()
            .enumerate()
            .find_map(|(nth, message)| Some((nth, guard.check(&message, put_in).err()?.to_string())))
    }

    #[test]
    fn what_a_job_makes_is_let_through() {
        let minute = (0..60 * 90_000 / 1920).map(|nth| sound(3, TrackKind::Audio, nth * 1920, 512));
        assert_eq!(refused([ready(3)].into_iter().chain(minute)), None);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (name, message) in [
            ("the far future", sound(3, TrackKind::Audio, i64::MAX, 100)),
            ("the far past", sound(3, TrackKind::Audio, i64::MIN, 100)),
            ("a track of nobody", sound(4, TrackKind::Audio, 0, 100)),
            ("a picture as sound", sound(3, TrackKind::Video, 0, 100)),
            ("readiness again", ready(3)),
            ("too much", sound(3, TrackKind::Audio, 0, 3 << 20)),
            ("an unasked rung's end", FromWorker::Output(Output::Drained { rung: 0 })),
            (
                "a load of a rung",
                FromWorker::Load(Load { rungs: vec![Default::default()], ..Load::default() }),
            ),
        ] {
            assert!(refused([ready(3), message]).is_some_and(|(nth, _)| nth == 1), "{name}");
        }
        assert!(refused([sound(3, TrackKind::Audio, 0, 100)]).is_some(), "before it is ready");
        assert!(refused([ready(4)]).is_some(), "a configuration for another track");
    }

    #[test]
    fn a_flood_ends_soon() {
        let tiny = std::iter::repeat_with(|| sound(3, TrackKind::Audio, 5, 0)).take(1 << 20);
        let (nth, why) = refused([ready(3)].into_iter().chain(tiny)).expect("an end");
        assert!(nth < 20_000, "{nth}: {why}");
        let counters = std::iter::repeat_with(|| FromWorker::Stats(Stats::default())).take(5000);
        assert!(refused([ready(3)].into_iter().chain(counters)).is_some_and(|(nth, _)| nth < 2000));
    }
}
