//! Sound that players would not take, decoded, brought to stereo and encoded again. Times are counted in samples, so
//! that rounding never piles up, and anchored anew where the source's own times leave the count.

use media::{AudioConfig, MediaSpan, MediaTime, Packet, TICKS_PER_SECOND, TrackId, TrackKind};

use super::Ended;
use crate::{
    AudioJob, Stats,
    av::{AudioDecoder, AudioEncoder, CodecError, Received, Samples, Stereo},
};

/// A source stamp that leaves the sample count by more than this is believed rather than the count: two frames' worth,
/// above the jitter of millisecond stamps.
const DRIFT: MediaSpan = MediaSpan::from_millis(45);
/// Packets in a row that may fail: about ten seconds.
const MAX_FAILURES: u32 = 500;

/// The sound of one stream.
pub(super) struct Track {
    id: TrackId,
    decoder: AudioDecoder,
    stereo: Stereo,
    encoder: AudioEncoder,
    config: AudioConfig,
    rate: u32,
    /// Samples not yet in a whole frame, one vector a channel.
    waiting: Vec<Vec<f32>>,
    clock: Clock,
    last_pts: Option<MediaTime>,
    failures: u32,
}

/// Where samples lie on the stream's timeline. Output samples are numbered from the first one on, and the numbers skip
/// what is missing.
#[derive(Debug, Default)]
struct Clock {
    /// When sample 0 is heard.
    origin: Option<MediaTime>,
    /// Number of the next sample that comes in.
    next: i64,
    /// When the source says that the next packet begins, by the last anchor and the input's own count.
    anchor: MediaTime,
    counted: u64,
}

impl Track {
    pub(super) fn open(job: &AudioJob) -> Result<Self, Ended> {
        let settings = &job.settings;
        let encoder = AudioEncoder::open(settings.sample_rate, settings.channels, settings.bitrate_bps)?;
        Ok(Self {
            id: job.track,
            decoder: AudioDecoder::open(&job.config)?,
            stereo: Stereo::new(settings.sample_rate, settings.channels),
            config: AudioConfig::Aac(encoder.config()?),
            encoder,
            rate: settings.sample_rate,
            waiting: vec![Vec::new(); usize::from(settings.channels)],
            clock: Clock::default(),
            last_pts: None,
            failures: 0,
        })
    }

    /// Which track of the source it is.
    pub(super) fn id(&self) -> TrackId {
        self.id
    }

    /// The configuration of what comes out.
    pub(super) fn config(&self) -> &AudioConfig {
        &self.config
    }

    /// Decodes a packet and appends what became ready to `made`.
    pub(super) fn packet(
        &mut self,
        packet: &Packet,
        made: &mut Vec<Packet>,
        stats: &mut Stats,
    ) -> Result<(), Ended> {
        if let Err(error) = self.decoder.send(&packet.data, packet.pts.ticks()) {
            self.failed(&error, stats)?;
        }
        loop {
            match self.decoder.receive() {
                Ok(Received::Output(samples)) => {
                    self.failures = 0;
                    self.take(samples, made, stats)?;
                }
                Ok(Received::NeedsInput | Received::Drained) => return Ok(()),
                Err(error) => self.failed(&error, stats)?,
            }
        }
    }

    /// The source's sound is coded in another way from here on; what comes out stays as it is.
    pub(super) fn reconfigure(&mut self, config: &AudioConfig, made: &mut Vec<Packet>) -> Result<(), Ended> {
        self.decoder = AudioDecoder::open(config)?;
        self.encode_whole_frames(made)
    }

    /// What is still inside.
    pub(super) fn finish(&mut self, made: &mut Vec<Packet>) -> Result<(), Ended> {
        self.encode_whole_frames(made)?;
        let rest = self.waiting.first().map_or(0, Vec::len);
        if rest > 0 {
            let at = self.clock.next - rest as i64;
            let frame: Vec<&[f32]> = self.waiting.iter().map(Vec::as_slice).collect();
            self.encoder.send(&frame, at)?;
            self.receive(made)?;
        }
        self.encoder.finish()?;
        self.receive(made)
    }

    fn take(&mut self, mut samples: Samples, made: &mut Vec<Packet>, stats: &mut Stats) -> Result<(), Ended> {
        let pts = samples.pts().map(MediaTime::from_ticks);
        if let Some(skip) = self.clock.see(pts, samples.len(), samples.rate(), self.rate) {
            // What waits is too little for a frame and ends before the gap.
            self.waiting.iter_mut().for_each(Vec::clear);
            self.clock.next = skip;
            stats.audio_reanchored += 1;
        }
        let before = self.waiting[0].len();
        self.stereo.run(&mut samples, &mut self.waiting)?;
        self.clock.next += (self.waiting[0].len() - before) as i64;
        self.encode_whole_frames(made)
    }

    fn encode_whole_frames(&mut self, made: &mut Vec<Packet>) -> Result<(), Ended> {
        while self.waiting[0].len() >= AudioEncoder::FRAME {
            let at = self.clock.next - self.waiting[0].len() as i64;
            let frame: Vec<&[f32]> =
                self.waiting.iter().map(|channel| &channel[..AudioEncoder::FRAME]).collect();
            self.encoder.send(&frame, at)?;
            self.waiting.iter_mut().for_each(|channel| drop(channel.drain(..AudioEncoder::FRAME)));
            self.receive(made)?;
        }
        Ok(())
    }

    fn receive(&mut self, made: &mut Vec<Packet>) -> Result<(), Ended> {
        while let Received::Output((sample, data)) = self.encoder.receive()? {
            let pts = self.clock.time_of(sample, self.rate);
            // The encoder's delay reaches back before the first sample: those frames are silence that nobody misses.
            let early = self.clock.origin.is_some_and(|origin| pts < origin);
            if !early && self.last_pts.is_none_or(|last| pts > last) {
                self.last_pts = Some(pts);
                made.push(Packet {
                    track: self.id,
                    kind: TrackKind::Audio,
                    pts,
                    dts: pts,
                    keyframe: true,
                    data,
                });
            }
        }
        Ok(())
    }

    fn failed(&mut self, error: &CodecError, stats: &mut Stats) -> Result<(), Ended> {
        stats.decode_errors += 1;
        self.failures += 1;
        if self.failures >= MAX_FAILURES {
            return Err(Ended::Undecodable { packets: self.failures, last: error.to_string() });
        }
        Ok(())
    }
}

impl Clock {
    /// Sees `count` samples that the source says begin at `pts`. When that is off the count by more than [`DRIFT`],
    /// gives the number that the next output sample must have; numbers never fall.
    fn see(&mut self, pts: Option<MediaTime>, count: usize, rate: u32, out_rate: u32) -> Option<i64> {
        let mut skip = None;
        match (self.origin, pts) {
            (_, None) => {} // a later frame of a packet that holds several
            (None, Some(pts)) => {
                self.origin = Some(pts);
                (self.anchor, self.counted) = (pts, 0);
            }
            (Some(origin), Some(pts)) => {
                let expected = self.anchor + MediaSpan::from_samples(self.counted, rate);
                if (pts - expected).abs() > DRIFT {
                    let span = i128::from((pts - origin).ticks());
                    let number = span * i128::from(out_rate) / i128::from(TICKS_PER_SECOND);
                    skip = Some(i64::try_from(number).unwrap_or(self.next).max(self.next));
                    (self.anchor, self.counted) = (pts, 0);
                }
            }
        }
        self.counted += count as u64;
        skip
    }

    /// When output sample `number` is heard.
    fn time_of(&self, number: i64, rate: u32) -> MediaTime {
        let origin = self.origin.unwrap_or_default();
        let ticks = (i128::from(number) * i128::from(TICKS_PER_SECOND)).div_euclid(i128::from(rate.max(1)));
        origin + MediaSpan::from_ticks(i64::try_from(ticks).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds frames of 1024 samples at 44.1 kHz and tells where the clock skipped to, in samples at 48 kHz.
    fn skips(pts_ms: impl IntoIterator<Item = i64>) -> Vec<i64> {
        let mut clock = Clock::default();
        pts_ms
            .into_iter()
            .filter_map(|ms| {
                let pts = MediaTime::ZERO + MediaSpan::from_millis(ms);
                let skip = clock.see(Some(pts), 1024, 44_100, 48_000);
                clock.next = skip.unwrap_or(clock.next) + 1115;
                skip
            })
            .collect()
    }

    #[test]
    fn millisecond_stamps_never_shake_the_count() {
        assert!(skips((0..10_000).map(|frame| frame * 1024 * 1000 / 44_100)).is_empty());
    }

    #[test]
    fn a_gap_moves_the_count_on() {
        assert_eq!(skips([0, 23, 46, 1046, 1069, 1092]), [1046 * 48]);
    }

    #[test]
    fn a_step_back_never_lets_numbers_fall() {
        assert_eq!(skips([1000, 1023, 500, 523]), [2230]);
    }
}
