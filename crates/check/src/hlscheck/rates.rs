//! Peak and average bit rate of a list by the definition of the standard (§4.1 of RFC 8216's successor).

/// One segment: size and duration.
#[derive(Debug, Clone, Copy)]
pub struct Piece {
    /// Bytes.
    pub bytes: u64,
    /// EXTINF, microseconds.
    pub micros: i64,
}

/// The largest rate, bit/s, of any contiguous run that lasts between 0.5 × TD and 1.5 × TD + 0.5 s.
pub fn peak(pieces: &[Piece], target: u64) -> Option<u64> {
    let target = i64::try_from(target).ok()? * 1_000_000;
    let (low, high) = (target / 2, target * 3 / 2 + 500_000);
    let mut best = None;
    for from in 0..pieces.len() {
        let (mut bytes, mut micros) = (0, 0);
        for piece in &pieces[from..] {
            bytes += piece.bytes;
            micros += piece.micros;
            if micros > high {
                break;
            }
            if micros >= low && micros > 0 {
                best = best.max(Some(rate(bytes, micros)));
            }
        }
    }
    best
}

/// All bits by all time, bit/s.
pub fn average(pieces: &[Piece]) -> Option<u64> {
    let micros: i64 = pieces.iter().map(|p| p.micros).sum();
    (micros > 0).then(|| rate(pieces.iter().map(|p| p.bytes).sum(), micros))
}

fn rate(bytes: u64, micros: i64) -> u64 {
    let bits = u128::from(bytes) * 8 * 1_000_000;
    u64::try_from(bits / micros.unsigned_abs() as u128).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_follow_the_definition() {
        let piece = |bytes, seconds: i64| Piece { bytes, micros: seconds * 1_000_000 };
        let list = [piece(1000, 2), piece(4000, 2), piece(1000, 1), piece(9000, 8)];
        // TD 2: runs of 1 s to 3.5 s. Pairs of 2 s are too long, 4000+1000 in 3 s and 4000 in 2 s count.
        assert_eq!(peak(&list, 2), Some(16_000));
        assert_eq!(average(&list), Some(15_000 * 8 / 13));
        assert_eq!(peak(&[piece(9000, 8)], 2), None);
    }
}
