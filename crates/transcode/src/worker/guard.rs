//! What a worker may say. It decodes what strangers send, so one day its words may be a stranger's: whatever comes from
//! it is held against its job and what was put in, before anybody computes with it. A worker that says what cannot be
//! is ended like one that crashed.
//!
//! Not looked at is what the pictures themselves hold: that concerns this stream's viewers alone.

use media::{
    AudioConfig, MediaSpan, MediaTime, Packet, TrackId, TrackKind, VideoCoding, VideoConfig, aac, h264,
};

use super::protocol::FromWorker;
use crate::{AudioJob, Job, MAX_STILL, Output, SHEET_TILES, Still, StillKind, VideoRung, still::TILE};

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
    stills: Option<Stills>,
}

/// How many stills there were.
#[derive(Debug)]
struct Stills {
    interval: MediaSpan,
    first: Option<MediaTime>,
    /// Of each kind: how many, and when the newest was seen.
    kinds: [(i64, MediaTime); 3],
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
        let never = MediaTime::from_ticks(i64::MIN);
        let stills = job.stills.map(|stills| Stills {
            interval: stills.interval,
            first: None,
            kinds: [(0, never); 3],
        });
        Self {
            ready: false,
            accounts: accounts.collect(),
            rungs,
            sounds: job.audio.clone(),
            wordless: 0,
            stills,
        }
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
            Output::EncoderLost { encoder, .. } => {
                let own = self.rungs.iter().any(|rung| rung.settings.encoder == *encoder);
                if own { Ok(()) } else { no(&format!("that {encoder} was lost, which it has not")) }
            }
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
            Output::Still(still) => match &mut self.stills {
                Some(stills) => stills.take(still, put_in),
                None => no("a still that nobody asked for"),
            },
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

impl Stills {
    fn take(&mut self, still: &Still, put_in: Option<(MediaTime, MediaTime)>) -> Result<(), Impossible> {
        let kind = match &still.kind {
            StillKind::Thumbnail => 0,
            StillKind::Poster => 1,
            StillKind::Sheet(sheet) => {
                let sides = 1..=TILE;
                let sized = sides.contains(&sheet.tile_width) && sides.contains(&sheet.tile_height);
                let dated = sheet.tiles.iter().all(|at| within(*at, put_in));
                let count = sheet.tiles.len();
                if !sized || !dated || !(1..=SHEET_TILES).contains(&count) || !sheet.tiles.is_sorted() {
                    return no("a sheet that none could make");
                }
                2
            }
        };
        if !within(still.at, put_in) || still.jpeg.len() > MAX_STILL {
            return no("a still far from what was put in, or larger than any");
        }
        let first = *self.first.get_or_insert(still.at);
        let (count, newest) = &mut self.kinds[kind];
        let most = (still.at - first).ticks().max(0) / self.interval.ticks().max(1) + 2;
        if still.at < *newest || *count >= most {
            return no("more stills than were asked for");
        }
        (*count, *newest) = (*count + 1, still.at);
        Ok(())
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
    use crate::{Load, Sandbox, Sheet, Stats, ladder::AudioSettings};

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
            stills: None,
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
                "the loss of an encoder that it has not",
                FromWorker::Output(Output::EncoderLost {
                    encoder: crate::ladder::EncoderName::default(),
                    cause: String::new(),
                }),
            ),
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
    fn stills_are_those_that_were_asked_for() {
        let at = MediaTime::from_ticks;
        let still = |ticks: i64, kind: StillKind, size: usize| {
            let jpeg = vec![0; size].into();
            FromWorker::Output(Output::Still(Still { at: at(ticks), kind, width: 2, height: 2, jpeg }))
        };
        let sheet = |tiles: &[i64], side: u32| {
            let tiles = tiles.iter().copied().map(at).collect();
            StillKind::Sheet(Sheet { number: 0, tile_width: side, tile_height: 90, tiles })
        };
        let thumbnail = || StillKind::Thumbnail;
        let second = 90_000;
        let many = vec![0; SHEET_TILES + 1];
        for (name, said, fine) in [
            ("as asked", vec![still(0, thumbnail(), 9), still(second, thumbnail(), 9)], true),
            ("each kind", vec![still(0, thumbnail(), 9), still(0, sheet(&[0], 160), 9)], true),
            ("too many", (0..4).map(|nth| still(nth, thumbnail(), 9)).collect(), false),
            ("backwards", vec![still(second, thumbnail(), 9), still(0, thumbnail(), 9)], false),
            ("the far future", vec![still(i64::MAX, thumbnail(), 9)], false),
            ("too large", vec![still(0, thumbnail(), MAX_STILL + 1)], false),
            ("no tile", vec![still(0, sheet(&[], 160), 9)], false),
            ("tiles that fall", vec![still(0, sheet(&[5, 4], 160), 9)], false),
            ("a tile of the far past", vec![still(0, sheet(&[i64::MIN], 160), 9)], false),
            ("large tiles", vec![still(0, sheet(&[0], 161), 9)], false),
            ("more tiles than fit", vec![still(0, sheet(&many, 160), 9)], false),
        ] {
            let mut guard = guard();
            let interval = MediaSpan::from_millis(1000);
            guard.stills = Some(Stills { interval, first: None, kinds: [(0, at(i64::MIN)); 3] });
            let put_in = Some((at(0), at(2 * second)));
            let went = [ready(3)].iter().chain(&said).try_for_each(|message| guard.check(message, put_in));
            assert_eq!(went.is_ok(), fine, "{name}");
        }
        assert!(refused([ready(3), still(0, thumbnail(), 9)]).is_some(), "nobody asked");
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
