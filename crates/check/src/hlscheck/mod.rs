//! A live HLS presentation watched over time: each list against the rules, each list against the ones before,
//! each segment against its list, each rendition against the others.
//!
//!   URL ─▶ watch (polls, downloads) ─▶ multivariant │ media ─▶ history ─▶ tscheck ─▶ across │ rates │ decode ─▶ Outcome
//!
//! The M and V rules carry the numbers of the project's HLS reference; in short:
//!
//! | | |
//! |---|---|
//! | M1 M3 | TARGETDURATION present, constant, the same everywhere |
//! | M2 | EXTINF rounded not over it |
//! | M4 M5 | sequence numbers never fall; a number keeps URI and EXTINF |
//! | M6 M7 M10 | DISCONTINUITY-SEQUENCE from the first list on, never falls, the same in all renditions |
//! | M11 | a new segment within 1.5 target durations |
//! | M12 M22 | segments leave at the top alone, never below three target durations or six segments |
//! | M13 M14 | a listed segment is there at once and whole; a removed one long enough |
//! | M15 M16 M17 | dates in each list, precise, one mapping, at each discontinuity |
//! | M18 M25 M26 M28 | no PLAYLIST-TYPE; START away from the live edge; SERVER-CONTROL and KEY constant |
//! | M19 M20 | EXTINF is the distance of first pictures; sums stay within a frame |
//! | M23 M24 | GAP stays GAP; nothing after ENDLIST |
//! | M27 | BITRATE within 90 to 110 % |
//! | V1 to V17 | the multivariant playlist's attributes; BANDWIDTH and AVERAGE-BANDWIDTH against what was measured, CODECS against the SPS, RESOLUTION against ffprobe |
//! | V19 V20 | the same picture times in all renditions, none lags a target duration behind |
//! | `file.*` `http.*` | the text of any playlist; status, type, length, CORS |
//!
//! M8 and M9 are the TS checker's `ts.jump`, `ts.layout` and `ts.params`. M21 is for fMP4.

pub mod across;
pub mod decode;
pub mod history;
pub mod media;
pub mod multivariant;
mod outcome;
pub mod rates;
#[cfg(test)]
mod tests;
mod watch;

pub use outcome::{Memory, Outcome, RenditionOutcome};
pub use watch::{Meter, Options, Progress, RenditionProgress, Watch};
