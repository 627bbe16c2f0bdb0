//! The running sample count of one audio track, and how it disagrees with the stamps.

use crate::time::{MediaSpan, MediaTime};

/// The running sample count of the sound, and how it disagrees with the stamps.
#[derive(Debug, Default)]
pub(super) struct SampleClock {
    /// Where the count began, and samples since then at `rate`.
    anchor: Option<(MediaTime, u64)>,
    rate: u32,
    /// Packets in a row whose stamps were off by about the same, and by how much the last one was.
    off: u32,
    last_drift: MediaSpan,
    /// Packets are left out until the count is back at the stamps.
    ahead: bool,
}

/// What becomes of one sound packet.
pub(super) enum Beat {
    /// It follows the one before.
    Counted(MediaTime),
    /// The count begins anew at its stamp.
    Anchored(MediaTime),
    LeftOut,
}

/// A drift of up to this is waited for [`PATIENT_PACKETS`]: muxers under load stamp single packets late. A larger one is
/// a hole, believed when the second packet agrees.
const SMALL_DRIFT: MediaSpan = MediaSpan::from_millis(100);
const PATIENT_PACKETS: u32 = 10;

impl SampleClock {
    /// Decides about a packet whose stamp says `told`.
    pub(super) fn place(&mut self, told: MediaTime, samples: u32, rate: u32) -> Beat {
        let counted = match self.anchor {
            Some((anchor, count)) if self.rate == rate => anchor + MediaSpan::from_samples(count, rate),
            _ => {
                *self = Self { anchor: Some((told, u64::from(samples))), rate, ..Self::default() };
                return Beat::Counted(told);
            }
        };
        let frame = MediaSpan::from_samples(u64::from(samples), rate);
        // Milliseconds round by up to one each way, so a drift counts from a frame and two milliseconds on.
        let limit = frame + MediaSpan::from_millis(2);
        let drift = told - counted;
        if drift.abs() <= limit {
            self.off = 0;
        } else {
            let agrees = self.off > 0 && (drift - self.last_drift).abs() <= limit;
            self.off = if agrees { self.off + 1 } else { 1 };
            self.last_drift = drift;
        }
        let lasting = self.off >= if drift.abs() <= SMALL_DRIFT { PATIENT_PACKETS } else { 2 };
        if lasting && drift > MediaSpan::ZERO {
            self.anchor = Some((told, u64::from(samples)));
            self.off = 0;
            return Beat::Anchored(told);
        }
        self.ahead = (self.ahead || lasting) && drift.times(-2) > frame;
        if self.ahead {
            self.last_drift = drift + frame; // the next packet is that much less behind
            return Beat::LeftOut;
        }
        if let Some((_, count)) = &mut self.anchor {
            *count += u64::from(samples);
        }
        Beat::Counted(counted)
    }
}
