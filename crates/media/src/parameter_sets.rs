//! Parameter sets in force: from the configuration record, and from sets met in-band. What an id is, each codec says.

use bytes::Bytes;

use crate::nal::MAX_PARAMETER_SET_LEN;

/// Sets of one kind that are kept; encoders send 1 or 2.
const KEPT: usize = 32;

/// Reads a set's own id.
type Id = fn(&[u8]) -> Option<u32>;

/// Sets of `N` kinds (H.264: SPS, PPS; H.265: VPS, SPS, PPS), without start codes, each id once.
#[derive(Debug)]
pub(crate) struct ParameterSets<const N: usize> {
    kinds: [Kind; N],
}

#[derive(Debug)]
struct Kind {
    id: Id,
    kept: Vec<Bytes>,
    /// What the last record held. Sets met in-band later win over a mere repetition of it.
    record: Vec<Bytes>,
}

impl<const N: usize> ParameterSets<N> {
    pub(crate) fn new(ids: [Id; N]) -> Self {
        Self { kinds: ids.map(|id| Kind { id, kept: Vec::new(), record: Vec::new() }) }
    }

    /// A configuration record came: its sets replace what was there, save that a kind it lacks stays. Says for each
    /// kind whether anything changed.
    pub(crate) fn replace(&mut self, record: [&[Bytes]; N]) -> [bool; N] {
        let mut changed = [false; N];
        if self.kinds.iter().zip(record).all(|(kind, units)| kind.record == units) {
            return changed;
        }
        for ((kind, units), changed) in self.kinds.iter_mut().zip(record).zip(&mut changed) {
            kind.record = units.iter().map(own).collect();
            *changed = !units.is_empty() && kind.kept != units;
            if *changed {
                kind.kept = kind.record.clone();
            }
        }
        changed
    }

    /// Sets came in-band: each takes the place of the one with its id. Says for each kind whether anything changed.
    pub(crate) fn merge(&mut self, units: [&[Bytes]; N]) -> [bool; N] {
        let mut changed = [false; N];
        for ((kind, units), changed) in self.kinds.iter_mut().zip(units).zip(&mut changed) {
            *changed = units.iter().fold(false, |changed, unit| kind.put(unit) | changed);
        }
        changed
    }

    /// The sets of one kind.
    pub(crate) fn kept(&self, kind: usize) -> &[Bytes] {
        &self.kinds[kind].kept
    }
}

impl Kind {
    fn put(&mut self, unit: &Bytes) -> bool {
        if self.kept.contains(unit) || unit.len() > MAX_PARAMETER_SET_LEN {
            return false;
        }
        let Some(new) = (self.id)(unit) else { return false };
        match self.kept.iter().position(|known| (self.id)(known) == Some(new)) {
            Some(at) => self.kept[at] = own(unit),
            None if self.kept.len() < KEPT => self.kept.push(own(unit)),
            None => return false,
        }
        true
    }
}

/// A copy: a slice would keep the whole access unit it came in.
fn own(unit: &Bytes) -> Bytes {
    Bytes::copy_from_slice(unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h264::{pps_id, sps_id};

    #[test]
    fn sets_replace_those_of_their_id() {
        let unit = |bytes: &'static [u8]| Bytes::from_static(bytes);
        let mut sets = ParameterSets::new([sps_id, pps_id]);
        let any = |changed: [bool; 2]| changed.contains(&true);
        assert!(any(sets.replace([&[unit(&[0x67, 1, 2, 3, 0x80])], &[unit(&[0x68, 0x80])]])));
        assert!(!any(sets.replace([&[], &[]])));
        assert!(!any(sets.merge([&[unit(&[0x67, 1, 2, 3, 0x80])], &[unit(&[0x68, 0x80])]])));
        assert_eq!(sets.merge([&[], &[unit(&[0x68, 0x40])]]), [false, true]);
        assert_eq!(sets.kept(1).len(), 2);
        assert!(any(sets.merge([&[], &[unit(&[0x68, 0x90])]])));
        assert_eq!(sets.kept(1), [&[0x68, 0x90][..], &[0x68, 0x40]]);
        assert!(!any(sets.merge([&[unit(&[0x67])], &[]])), "too short to have an id");
        assert!(any(sets.merge([&[unit(&[0x67, 1, 2, 9, 0x80])], &[]])));
        assert!(any(sets.replace([&[unit(&[0x67, 7, 7, 7, 0x80])], &[unit(&[0x68, 0x80])]])));
        assert!(any(sets.merge([&[unit(&[0x67, 7, 7, 8, 0x80])], &[]])));
        let again = sets.replace([&[unit(&[0x67, 7, 7, 7, 0x80])], &[unit(&[0x68, 0x80])]]);
        assert!(!any(again), "the same record once more does not undo what came in-band");
    }
}
