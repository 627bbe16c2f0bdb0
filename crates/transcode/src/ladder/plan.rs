//! (being written)

use super::{AudioPlan, CutMode, Plan, Wishes};
use crate::source::Source;

/// The ladder for a new presentation.
pub fn plan(_source: &Source, wishes: &Wishes) -> Plan {
    Plan {
        rungs: vec![],
        audio: AudioPlan::None,
        cut: CutMode::Grid,
        segment: wishes.segment,
        target_duration: 2,
        longest: wishes.longest_segment,
        notes: vec![],
    }
}
