//! A strict checker of the MPEG-TS segments of one rendition, fed in playlist order.
//!
//!   segment bytes ─▶ packet ─▶ psi │ pes ─▶ es (NAL units, ADTS) ─▶ rules over one segment ─▶ rules over the session
//!
//! | rule | what must hold |
//! |---|---|
//! | `ts.packet` | whole packets of 188 bytes, sync byte, no error or scrambling bits, stuffing of 0xff |
//! | `ts.psi-first` | packet 0 is the PAT, packet 1 the PMT; then the segment's first PES |
//! | `ts.psi` | pointer 0, one section a packet, CRC right, one program, 0xff behind |
//! | `ts.layout` | stream types H.264 (0x1b) and ADTS (0x0f), PIDs and PSI the same for the whole session |
//! | `ts.pid` | no packet of a PID the PMT does not name, no null packets |
//! | `ts.counter` | continuity counters run on per PID, over segments too; at a discontinuity a jump is a note |
//! | `ts.pcr` | on the PCR PID, at most 100 ms apart, in the first packet of the segment's first PES, reserved bits 1 |
//! | `ts.pcr-dts` | never above the DTS of a PES that follows |
//! | `ts.pes` | headers well formed, stream ids, alignment, DTS left out when equal |
//! | `ts.pes-complete` | every PES ends in its own segment |
//! | `ts.dts` | rises strictly per PID; PTS not below DTS, not more than 60 s above |
//! | `ts.pts` | no two pictures of a segment at one time, none before the segment's IDR, none behind the next one's |
//! | `ts.jump` | times run on from segment to segment where no discontinuity is told |
//! | `ts.rai` | random_access_indicator on the first packet of an IDR's PES and nowhere else |
//! | `ts.nal` | Annex B, 4-byte first start code, no empty units, one picture a PES |
//! | `ts.aud` | exactly one access unit delimiter, first |
//! | `ts.params` | SPS then PPS before each IDR, before SEI and slices, the same bytes until a discontinuity |
//! | `ts.idr-first` | a video segment opens with an IDR |
//! | `ts.adts` | whole ADTS frames tile each audio PES, one configuration until a discontinuity, ≤ 250 ms each |
//! | `ts.audio-gap` | audio times equal the running sample count, to 2 ticks; up to a millisecond is a note |
//! | `ts.audio-home` | segment i has the audio from its first picture's time to the next one's, to one frame |
//! | `ts.av-start` | audio starts within 50 ms of the first picture |
//! | `ts.interleave` | the streams are never more than 0.5 s apart in the file |
//! | `ts.missing` | a stream that the presentation has is in each segment |

mod checker;
mod es;
mod facts;
mod iframe;
mod packet;
mod pes;
mod psi;
#[cfg(test)]
pub(crate) mod synth;
#[cfg(test)]
mod tests;
mod units;

pub use checker::Checker;
pub use facts::{AudioFacts, Entry, Report, SegmentFacts, Tracks, VideoFacts};
pub use iframe::iframe_fault;
pub(crate) use psi::crc32;

/// Ticks of a second.
pub const TICKS: i64 = 90_000;
