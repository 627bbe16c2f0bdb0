//! (being written)

use super::{Plan, Wishes};
use crate::source::Source;

/// The ladder for a source that came back, or changed, while `running` is being served: the same rungs by name and
/// size, copied only where size and CODECS name are what they were.
pub fn replan(running: &Plan, _source: &Source, _wishes: &Wishes) -> Plan {
    running.clone()
}
