//! The H.264 parameter sets in force: from the configuration record, and from sets met in-band.

use bytes::Bytes;
use media::h264::{Config, ConfigError};

/// Sets of one kind that are kept; encoders send 1 or 2.
const KEPT: usize = 32;
/// Longest set kept, in bytes.
const LEN_MAX: usize = 4096;

/// SPS and PPS units, without start codes, each id once.
#[derive(Debug, Default)]
pub(super) struct ParameterSets {
    sps: Vec<Bytes>,
    pps: Vec<Bytes>,
    /// What the last record held. Sets met in-band later win over a mere repetition of it.
    record: (Vec<Bytes>, Vec<Bytes>),
}

impl ParameterSets {
    /// A configuration record came: its sets replace what was there, save that a kind it lacks stays. True when
    /// anything changed.
    pub(super) fn replace(&mut self, sps: &[Bytes], pps: &[Bytes]) -> bool {
        if self.record.0 == sps && self.record.1 == pps {
            return false;
        }
        self.record = (sps.iter().map(own).collect(), pps.iter().map(own).collect());
        let put = |kept: &mut Vec<Bytes>, units: &[Bytes]| {
            let changed = !units.is_empty() && kept != units;
            if changed {
                *kept = units.iter().map(own).collect();
            }
            changed
        };
        put(&mut self.sps, sps) | put(&mut self.pps, pps)
    }

    /// Sets came in-band: each takes the place of the one with its id. True when anything changed.
    pub(super) fn merge(&mut self, sps: &[Bytes], pps: &[Bytes]) -> bool {
        // seq_parameter_set_id stands behind the three bytes of profile, constraints and level
        let sps_changed = sps.iter().fold(false, |changed, unit| put(&mut self.sps, unit, 4) | changed);
        pps.iter().fold(sps_changed, |changed, unit| put(&mut self.pps, unit, 1) | changed)
    }

    /// The configuration they make.
    pub(super) fn config(&self) -> Result<Config, ConfigError> {
        Config::from_units(self.sps.clone(), self.pps.clone())
    }
}

fn put(kept: &mut Vec<Bytes>, unit: &Bytes, id_at: usize) -> bool {
    if kept.contains(unit) || unit.len() > LEN_MAX {
        return false;
    }
    let id = |unit: &Bytes| unit.get(id_at..).and_then(exp_golomb);
    let Some(new) = id(unit) else { return false };
    match kept.iter().position(|known| id(known) == Some(new)) {
        Some(at) => kept[at] = own(unit),
        None if kept.len() < KEPT => kept.push(own(unit)),
        None => return false,
    }
    true
}

/// A copy: a slice would keep the whole access unit it came in.
fn own(unit: &Bytes) -> Bytes {
    Bytes::copy_from_slice(unit)
}

/// The ue(v) at the front (ISO/IEC 14496-10 §9.1), up to 16 bits long on either side: ids are far below.
fn exp_golomb(bytes: &[u8]) -> Option<u32> {
    let mut head = [0; 5];
    let len = bytes.len().min(5);
    head[..len].copy_from_slice(&bytes[..len]);
    let bits = u64::from_be_bytes([head[0], head[1], head[2], head[3], head[4], 0, 0, 0]);
    let zeros = bits.leading_zeros();
    if zeros > 16 || (2 * zeros + 1) as usize > 8 * len {
        return None;
    }
    Some((bits >> (63 - 2 * zeros)) as u32 - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read() {
        for (name, bytes, want) in [
            ("0", &[0x80][..], Some(0)),
            ("1", &[0b0100_0000], Some(1)),
            ("2", &[0b0110_0000], Some(2)),
            ("31", &[0b0000_0100, 0], Some(31)),
            ("255", &[0, 0b1000_0000, 0], Some(255)),
            ("cut", &[0b0000_0100], None),
            ("nothing", &[], None),
            ("too long", &[0, 0, 0, 0, 0], None),
        ] {
            assert_eq!(exp_golomb(bytes), want, "{name}");
        }
    }

    #[test]
    fn sets_replace_those_of_their_id() {
        let unit = |bytes: &'static [u8]| Bytes::from_static(bytes);
        let mut sets = ParameterSets::default();
        assert!(sets.replace(&[unit(&[0x67, 1, 2, 3, 0x80])], &[unit(&[0x68, 0x80])]));
        assert!(!sets.replace(&[], &[]));
        assert!(!sets.merge(&[unit(&[0x67, 1, 2, 3, 0x80])], &[unit(&[0x68, 0x80])]));
        assert!(sets.merge(&[], &[unit(&[0x68, 0x40])]));
        assert_eq!(sets.pps.len(), 2);
        assert!(sets.merge(&[], &[unit(&[0x68, 0x90])]));
        assert_eq!(sets.pps, [&[0x68, 0x90][..], &[0x68, 0x40]]);
        assert!(!sets.merge(&[unit(&[0x67])], &[]), "too short to have an id");
        assert!(sets.merge(&[unit(&[0x67, 1, 2, 9, 0x80])], &[]));
        assert!(sets.replace(&[unit(&[0x67, 7, 7, 7, 0x80])], &[unit(&[0x68, 0x80])]));
        assert!(sets.merge(&[unit(&[0x67, 7, 7, 8, 0x80])], &[]));
        let again = sets.replace(&[unit(&[0x67, 7, 7, 7, 0x80])], &[unit(&[0x68, 0x80])]);
        assert!(!again, "the same record once more does not undo what came in-band");
    }
}
