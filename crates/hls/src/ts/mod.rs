//! H.264 and AAC packets in, whole 188-byte transport packets out (ISO/IEC 13818-1), one segment at a time.
//!
//! ```text
//!  pictures ─▶ Annex B (AUD, SPS, PPS, SEI, slices) ─▶ one PES each ──────────┐ by DTS
//!  sounds ───▶ ADTS ─▶ several frames a PES (≤ 200 ms) ──────────────────────┴▶ packetize ─▶ [u8; 188] …
//!                                  PAT and PMT first and before each IDR; PCR at most 100 ms apart
//! ```
//!
//! The first packet of every PES, with its adaptation field and PES header, is written by the `mpeg2ts` crate. Packets
//! that only continue a PES are a four-byte header and a copy, and are written here: going through the crate's packet
//! type copies each payload three times, and costs two to three times as much for the bulk of all bytes (see
//! `benches/`). PAT and PMT are made once, with
//! stuffing behind the section and a CRC, which the crate leaves out; only their counters change.
//!
//! What the rest of the gateway relies on: continuity counters go on from segment to segment, every PES ends in its own
//! segment, and the times in a segment are those of its packets, plus [`TIME_BASE`], modulo 2^33.

mod packet;
mod psi;

use std::sync::Arc;

use bytes::Bytes;
use media::{AudioConfig, MediaSpan, MediaTime, Packet, VideoConfig, h264};

use self::packet::{Counter, First, PesStart};
use crate::Keyframe;

/// PID of the pictures; the same in every rendition and session, since another one would be a discontinuity.
pub const VIDEO_PID: u16 = 0x100;
/// PID of the sound.
pub const AUDIO_PID: u16 = 0x101;
/// PID of the program map table.
pub const PMT_PID: u16 = 0x1000;
/// Added to all times, so that neither DTS nor PCR fall below 0 at the start of a stream.
pub const TIME_BASE: MediaSpan = MediaSpan::from_millis(10_000);
/// How long before its decoding time a picture arrives: PCR = DTS − this. As FFmpeg does.
pub const DELIVERY_LEAD: MediaSpan = MediaSpan::from_millis(700);
/// Most between two PCRs (ISO/IEC 13818-1 §2.7.2).
const PCR_INTERVAL: i64 = 9_000;
/// Where a PCR of its own is put when no picture comes in time.
const LONE_PCR_INTERVAL: i64 = 8_100;
/// Most sound in one PES beside pictures: long enough to fill packets, short enough to keep A/V interleaved.
const AUDIO_PES_SPAN: MediaSpan = MediaSpan::from_millis(200);
/// Most sound in one PES when it carries the PCR.
const LONE_AUDIO_PES_SPAN: MediaSpan = MediaSpan::from_millis(95);
/// Frames whose stamps are off the sample count by less than this still share a PES.
const AUDIO_JITTER: MediaSpan = MediaSpan::from_millis(1);
/// PES_packet_length has 16 bits and counts 8 bytes of header.
const MAX_AUDIO_PES: usize = 0xFFFF - 8;
/// Between tables when there are no pictures.
const LONE_AUDIO_PSI_INTERVAL: MediaSpan = MediaSpan::from_millis(500);
/// Access unit delimiter: any slice type.
const AUD: [u8; 6] = [0, 0, 0, 1, 0x09, 0xF0];
/// Bytes around one access unit: adaptation field, PES header and delimiter.
const UNIT_OVERHEAD: usize = 8 + 19 + AUD.len();

/// One access unit, and at a keyframe the parameter sets that go in front of it.
#[derive(Clone, Debug)]
pub struct Picture {
    /// The coded picture.
    pub packet: Packet,
    /// The configuration to write before a keyframe.
    pub config: Option<Arc<VideoConfig>>,
}

/// One audio frame and what its header must say.
#[derive(Clone, Debug)]
pub struct Sound {
    /// The coded frame.
    pub packet: Packet,
    /// Its configuration.
    pub config: Arc<AudioConfig>,
}

/// What one segment holds.
#[derive(Clone, Copy, Debug)]
pub struct Contents<'a> {
    /// In decode order, an IDR first. Empty for sound alone.
    pub pictures: &'a [Picture],
    /// In order of their times.
    pub sounds: &'a [Sound],
    /// It does not continue the segment before it.
    pub discontinuity: bool,
    /// DTS of the next segment's first packet, if that continues this one: the PCR reaches up to it.
    pub until: Option<MediaTime>,
}

/// Writes one rendition's segments. Keeps what runs on between them: counters and the last PCR.
#[derive(Debug)]
pub struct Muxer {
    has_video: bool,
    tables: psi::Tables,
    video: Counter,
    audio: Counter,
    /// DTS that the last PCR was written for, in ticks.
    last_pcr: Option<i64>,
    /// One PES payload under way; kept for its memory.
    scratch: Vec<u8>,
    unwritable: u64,
}

impl Muxer {
    /// A muxer whose program has the given streams for ever.
    pub fn new(has_video: bool, has_audio: bool) -> Self {
        Self {
            has_video,
            tables: psi::Tables::new(has_video, has_audio),
            video: Counter::new(VIDEO_PID),
            audio: Counter::new(AUDIO_PID),
            last_pcr: None,
            scratch: Vec::new(),
            unwritable: 0,
        }
    }

    /// Audio frames left out because ADTS cannot carry them.
    pub fn unwritable(&self) -> u64 {
        self.unwritable
    }

    /// One segment as whole transport packets, and where among them its keyframes lie.
    pub fn segment(&mut self, contents: &Contents<'_>) -> (Bytes, Vec<Keyframe>) {
        let mut out = Vec::with_capacity(capacity(contents));
        let framed: Vec<Framed<'_>> = contents.sounds.iter().filter_map(Framed::new).collect();
        self.unwritable += (contents.sounds.len() - framed.len()) as u64;
        let sounds = group(&framed, if self.has_video { AUDIO_PES_SPAN } else { LONE_AUDIO_PES_SPAN });
        let pictures = contents.pictures;
        let mut run = Run {
            discontinuity: [contents.discontinuity; 2],
            lead: self.lead_times(contents, &sounds),
            lead_at: 0,
            last_psi: None,
            keyframes: Vec::new(),
        };
        if contents.discontinuity {
            self.last_pcr = None;
        }
        let (mut picture_at, mut sound_at) = (0, 0);
        loop {
            let picture = pictures.get(picture_at);
            let sound = sounds.get(sound_at);
            let picture_first = match (picture, sound) {
                (Some(picture), Some(sound)) => picture_at == 0 || picture.packet.dts <= pts(sound),
                (picture, _) => picture.is_some(),
            };
            let next = if picture_first {
                picture.map(|picture| picture.packet.dts)
            } else {
                sound.map(|sounds| pts(sounds))
            };
            self.lone_pcrs(&run, next, &mut out);
            match (picture_first, picture, sound) {
                (true, Some(picture), _) => {
                    self.picture(picture, &mut run, &mut out);
                    picture_at += 1;
                }
                (false, _, Some(sound)) => {
                    self.sound(sound, &mut run, &mut out);
                    sound_at += 1;
                }
                _ => break,
            }
        }
        if out.capacity() - out.len() > out.len() / 8 {
            out.shrink_to_fit(); // it will be held for minutes
        }
        (Bytes::from(out), run.keyframes)
    }

    fn picture(&mut self, picture: &Picture, run: &mut Run, out: &mut Vec<u8>) {
        let packet = &picture.packet;
        if packet.keyframe || run.last_psi.is_none() {
            self.tables.write(out);
            run.last_psi = Some(packet.dts);
        }
        self.scratch.clear();
        annex_b(picture, &mut self.scratch);
        let start = PesStart {
            stream_id: 0xE0,
            pts: packet.pts,
            dts: (packet.dts != packet.pts).then_some(packet.dts),
            announce_length: false,
            first: First {
                discontinuity: std::mem::take(&mut run.discontinuity[0]),
                random_access: packet.keyframe,
                pcr: self.pcr_due(run),
            },
        };
        let offset = out.len();
        self.video.write_pes(&start, &self.scratch, out);
        run.lead_at += 1;
        if packet.keyframe
            && let (Ok(offset), Ok(length)) = (u32::try_from(offset), u32::try_from(out.len() - offset))
        {
            run.keyframes.push(Keyframe { at: packet.pts, offset, length });
        }
    }

    fn sound(&mut self, sounds: &[Framed<'_>], run: &mut Run, out: &mut Vec<u8>) {
        let pts = pts(sounds);
        let first_in_segment = run.last_psi.is_none();
        if run.last_psi.is_none_or(|last| !self.has_video && pts - last >= LONE_AUDIO_PSI_INTERVAL) {
            self.tables.write(out);
            run.last_psi = Some(pts);
        }
        self.scratch.clear();
        for frame in sounds {
            self.scratch.extend_from_slice(&frame.header);
            self.scratch.extend_from_slice(&frame.sound.packet.data);
        }
        let start = PesStart {
            stream_id: 0xC0,
            pts,
            dts: None,
            announce_length: true,
            first: First {
                discontinuity: std::mem::take(&mut run.discontinuity[1]),
                random_access: !self.has_video && first_in_segment,
                pcr: if self.has_video { None } else { self.pcr_due(run) },
            },
        };
        self.audio.write_pes(&start, &self.scratch, out);
        if !self.has_video {
            run.lead_at += 1;
        }
    }

    /// The PCR that goes with the lead track's next PES: on the first of a segment, and where the one after would come
    /// too late.
    fn pcr_due(&mut self, run: &Run) -> Option<MediaTime> {
        let dts = run.lead.get(run.lead_at)?.ticks();
        let next = run.lead.get(run.lead_at + 1).map(|next| next.ticks());
        let due = run.lead_at == 0
            || self.last_pcr.is_none_or(|last| next.is_none_or(|next| next - last > PCR_INTERVAL));
        due.then(|| {
            self.last_pcr = Some(dts);
            MediaTime::from_ticks(dts) - DELIVERY_LEAD
        })
    }

    /// PCRs in packets of their own, up to `next`, where the lead track's next PES comes too late to carry one.
    fn lone_pcrs(&mut self, run: &Run, next: Option<MediaTime>, out: &mut Vec<u8>) {
        let Some(lead) = run.lead.get(run.lead_at).filter(|_| run.lead_at > 0) else { return };
        while let Some(last) = self.last_pcr
            && lead.ticks() - last > PCR_INTERVAL
            && next.is_none_or(|next| last + LONE_PCR_INTERVAL <= next.ticks())
        {
            let at = last + LONE_PCR_INTERVAL;
            self.last_pcr = Some(at);
            let counter = if self.has_video { &self.video } else { &self.audio };
            counter.write_pcr(MediaTime::from_ticks(at) - DELIVERY_LEAD, out);
        }
    }

    /// Decoding times of the PES packets that carry the PCR, and where the next segment's begin.
    fn lead_times(&self, contents: &Contents<'_>, sounds: &[&[Framed<'_>]]) -> Vec<MediaTime> {
        let mut times: Vec<_> = if self.has_video {
            contents.pictures.iter().map(|picture| picture.packet.dts).collect()
        } else {
            sounds.iter().map(|sounds| pts(sounds)).collect()
        };
        times.extend(contents.until);
        times
    }
}

/// Where the writing of one segment stands.
struct Run {
    /// Still to be indicated, on video and on audio.
    discontinuity: [bool; 2],
    /// Decoding times of the PES packets of the track that carries the PCR, and of the one after the segment.
    lead: Vec<MediaTime>,
    /// How many of them are written.
    lead_at: usize,
    last_psi: Option<MediaTime>,
    keyframes: Vec<Keyframe>,
}

/// A frame with its ADTS header.
struct Framed<'a> {
    sound: &'a Sound,
    header: [u8; 7],
}

impl<'a> Framed<'a> {
    fn new(sound: &'a Sound) -> Option<Self> {
        let config = sound.config.aac()?;
        Some(Self { sound, header: config.adts_header(sound.packet.data.len())? })
    }

    fn size(&self) -> usize {
        self.header.len() + self.sound.packet.data.len()
    }
}

/// The time of a group's first frame; groups are never empty.
fn pts(sounds: &[Framed<'_>]) -> MediaTime {
    sounds.first().map_or(MediaTime::ZERO, |frame| frame.sound.packet.pts)
}

/// Splits frames into PES packets: a decoder counts the times of all but the first frame of each, so they must follow
/// one another without a hole, under one configuration, and fit.
fn group<'f, 'a>(framed: &'f [Framed<'a>], span: MediaSpan) -> Vec<&'f [Framed<'a>]> {
    let mut groups = Vec::with_capacity(framed.len() / 4 + 1);
    let mut rest = framed;
    while let Some(first) = rest.first() {
        let config = &first.sound.config;
        let samples = |frames: usize| {
            let count = frames as u64 * u64::from(config.aac().map_or(0, |aac| aac.samples_per_frame));
            MediaSpan::from_samples(count, config.sample_rate())
        };
        let mut len = 1;
        let mut size = first.size();
        while let Some(frame) = rest.get(len) {
            size += frame.size();
            let expected = first.sound.packet.pts + samples(len);
            let same_config = Arc::ptr_eq(&frame.sound.config, config) || frame.sound.config == *config;
            let in_time = (frame.sound.packet.pts - expected).abs() <= AUDIO_JITTER;
            if samples(len + 1) > span || size > MAX_AUDIO_PES || !in_time || !same_config {
                break;
            }
            len += 1;
        }
        let (here, after) = rest.split_at(len);
        groups.push(here);
        rest = after;
    }
    groups
}

/// Writes one access unit: delimiter first, parameter sets before a keyframe, then the units in their order.
fn annex_b(picture: &Picture, out: &mut Vec<u8>) {
    out.extend_from_slice(&AUD);
    if let Some(VideoConfig::H264(config)) = picture.config.as_deref().filter(|_| picture.packet.keyframe) {
        for unit in config.sps_units.iter().chain(&config.pps_units) {
            out.extend_from_slice(&[0, 0, 0, 1]);
            out.extend_from_slice(unit);
        }
    }
    for unit in h264::units(&picture.packet.data) {
        use h264::nal_type::{AUD, FILLER, PPS, SPS};
        match unit.first().map(|header| header & 31) {
            None | Some(SPS | PPS | AUD | FILLER) => {}
            Some(_) => {
                out.extend_from_slice(&[0, 0, 1]);
                out.extend_from_slice(unit);
            }
        }
    }
}

/// Bytes that a segment will take, or a little more: one allocation.
fn capacity(contents: &Contents<'_>) -> usize {
    let pictures: usize = contents
        .pictures
        .iter()
        .map(|picture| {
            let extra = if picture.packet.keyframe { 4 * packet::PAYLOAD } else { 0 };
            (picture.packet.data.len() + UNIT_OVERHEAD + extra).div_ceil(packet::PAYLOAD)
        })
        .sum();
    let sound_bytes: usize = contents.sounds.iter().map(|sound| sound.packet.data.len() + 7).sum();
    (pictures + sound_bytes / packet::PAYLOAD + contents.sounds.len() / 4 + 4) * packet::SIZE
}
