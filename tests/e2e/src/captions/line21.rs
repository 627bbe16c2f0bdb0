//! Text as the byte pairs of CEA-608's line 21, channel CC1: one pair a field, each byte with odd parity.

/// How a caption comes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Loaded unseen, then shown at once.
    PopOn,
    /// Letter by letter in the last row, which pushes the others up; so many rows, 2 to 4.
    RollUp(u8),
}

/// One caption: what is said, and when it begins to be sent.
#[derive(Debug, Clone)]
pub struct Caption {
    /// Seconds from the clip's first picture.
    pub at: f64,
    /// Basic letters, at most 32.
    pub text: String,
    /// How it comes up.
    pub style: Style,
}

/// A pair of bytes for one field.
pub(super) type Pair = [u8; 2];
/// Nothing to say.
pub(super) const SILENCE: Pair = [0x80, 0x80];

const RESUME_LOADING: u8 = 0x20;
const ERASE_DISPLAYED: u8 = 0x2C;
const RETURN: u8 = 0x2D;
const ERASE_LOADED: u8 = 0x2E;
const SHOW_LOADED: u8 = 0x2F;

fn odd(byte: u8) -> u8 {
    if byte.count_ones().is_multiple_of(2) { byte | 0x80 } else { byte }
}

/// Codes are sent twice, as they must be.
fn code(out: &mut Vec<Pair>, first: u8, second: u8) {
    out.extend([[odd(first), odd(second)]; 2]);
}

impl Caption {
    /// Its pairs, in order; the last one makes it visible or complete.
    pub(super) fn pairs(&self) -> Vec<Pair> {
        let mut out = Vec::new();
        match self.style {
            Style::PopOn => {
                code(&mut out, 0x14, RESUME_LOADING);
                code(&mut out, 0x14, ERASE_LOADED);
                code(&mut out, 0x14, 0x70); // row 15, first column
            }
            Style::RollUp(rows) => {
                code(&mut out, 0x14, 0x23 + rows.clamp(2, 4));
                code(&mut out, 0x14, RETURN);
                code(&mut out, 0x14, 0x70);
            }
        }
        let letters: Vec<u8> = self.text.bytes().take(32).collect();
        assert!(
            letters.iter().all(|b| b.is_ascii_alphanumeric() || b" .,?!-".contains(b)),
            "{:?}",
            self.text
        );
        out.extend(letters.chunks(2).map(|two| [odd(two[0]), odd(two.get(1).copied().unwrap_or(0))]));
        if self.style == Style::PopOn {
            code(&mut out, 0x14, ERASE_DISPLAYED);
            code(&mut out, 0x14, SHOW_LOADED);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caption_is_its_codes_and_letters() {
        let caption = Caption { at: 0.0, text: "Hi!".into(), style: Style::PopOn };
        let plain: Vec<[u8; 2]> = caption.pairs().iter().map(|p| [p[0] & 0x7F, p[1] & 0x7F]).collect();
        let doubled = |second| [[0x14, second]; 2];
        let want = [
            &doubled(0x20)[..],
            &doubled(0x2E),
            &doubled(0x70),
            &[[b'H', b'i'], [b'!', 0]],
            &doubled(0x2C),
            &doubled(0x2F),
        ]
        .concat();
        assert_eq!(plain, want);
        assert!(caption.pairs().as_flattened().iter().all(|byte| byte.count_ones() % 2 == 1));
        let rolled = Caption { style: Style::RollUp(3), ..caption };
        assert_eq!(rolled.pairs()[0], [odd(0x14), odd(0x26)]);
    }
}
