//! Closed captions: written into a clip's pictures as a broadcaster's encoder does, and read back as text by ffmpeg.
//!
//!   Script (lines, pop-on or roll-up) ─▶ `line21` byte pairs ─▶ `sei` cc_data per picture, in order of presentation
//!        FLV of any encoder ───────────────────────────────────────▶ FLV with captions ══▶ gateway ══▶ `read` text
//!
//! Nothing of it shares code with what is judged.

mod line21;
mod read;
mod sei;

pub use line21::{Caption, Style};
pub use read::{Cue, cues};
pub use sei::caption;
