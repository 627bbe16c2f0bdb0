//! Silent sound for a publication that brings none into a presentation that promised it: players wait for a track that
//! the playlists name.

use bytes::Bytes;
use media::{AudioConfig, MediaSpan, MediaTime, Packet, TrackId, TrackKind};
use tracing::warn;
use transcode::encode::AacEncoder;

/// What silence costs; the encoder needs far less.
const BITRATE_BPS: u32 = 64_000;

/// Makes silent packets in the coding of the presentation.
pub(super) struct Silence {
    config: AudioConfig,
    frame: Bytes,
    start: MediaTime,
    count: u64,
}

impl Silence {
    /// Silence as `config` codes it, from `start` on; `None` for codings other than AAC-LC.
    pub(super) fn new(config: &AudioConfig, start: MediaTime) -> Option<Self> {
        let aac = config.aac()?;
        if aac.object_type != 2 || aac.extension != 0 {
            return None;
        }
        match silent_frame(aac.sample_rate, aac.channels) {
            Ok(frame) => Some(Self { config: config.clone(), frame, start, count: 0 }),
            Err(error) => {
                warn!(error, "no silence can be made; the sound stays away");
                None
            }
        }
    }

    /// The configuration that the packets are coded in.
    pub(super) fn config(&self) -> &AudioConfig {
        &self.config
    }

    /// The packets up to `end`, each once.
    pub(super) fn until(&mut self, end: MediaTime) -> Vec<Packet> {
        let mut packets = Vec::new();
        loop {
            let pts = self.start + MediaSpan::from_samples(self.count, self.config.sample_rate());
            if pts > end {
                return packets;
            }
            self.count += u64::from(self.config.aac().map_or(1024, |aac| aac.samples_per_frame));
            packets.push(Packet {
                track: TrackId::default(),
                kind: TrackKind::Audio,
                pts,
                dts: pts,
                keyframe: true,
                data: self.frame.clone(),
            });
        }
    }
}

fn silent_frame(sample_rate: u32, channels: u8) -> Result<Bytes, String> {
    let mut encoder =
        AacEncoder::open(sample_rate, channels, BITRATE_BPS, MediaTime::ZERO).map_err(|e| e.to_string())?;
    let zeros = [0.0f32; 8192];
    let input = vec![&zeros[..]; usize::from(channels)];
    let packets = encoder.encode(&input).map_err(|error| error.to_string())?;
    packets.last().map(|packet| packet.data.clone()).ok_or_else(|| "the encoder gave nothing".to_owned())
}

#[cfg(test)]
mod tests {
    use media::aac;

    use super::*;

    #[test]
    fn silence_runs_on_its_samples() {
        let config = AudioConfig::Aac(aac::Config::lc(44_100, 1).unwrap());
        let mut silence = Silence::new(&config, MediaTime::from_ticks(900)).unwrap();
        let mut packets = silence.until(MediaTime::from_ticks(90_000));
        packets.extend(silence.until(MediaTime::from_ticks(180_000)));
        for (nth, packet) in packets.iter().enumerate() {
            assert_eq!(
                packet.pts,
                MediaTime::from_ticks(900) + MediaSpan::from_samples(nth as u64 * 1024, 44_100)
            );
        }
        assert_eq!(packets.len(), 86);
        assert!(!packets[0].data.is_empty());
    }
}
