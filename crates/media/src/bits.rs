//! A cursor over bits, most significant first, as every bitstream header here is written. It reports truncation, reads
//! no value longer than 32 bits, and never allocates by what it reads.

/// Bits of a header, read from the front.
#[derive(Clone, Debug)]
pub(crate) struct Bits<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0 }
    }

    /// The next `count` bits, at most 32. `None` when they are not all there.
    pub(crate) fn take(&mut self, count: u32) -> Option<u32> {
        let end = self.at.checked_add(count as usize).filter(|end| *end <= self.data.len() * 8)?;
        let mut value = 0u64;
        while self.at < end {
            let free = 8 - self.at % 8;
            let step = free.min(end - self.at);
            let byte = u64::from(self.data[self.at / 8]) >> (free - step) & ((1 << step) - 1);
            value = value << step | byte;
            self.at += step;
        }
        Some(value as u32)
    }

    /// The next `count` bits, at most 8, as a byte.
    pub(crate) fn byte(&mut self, count: u32) -> Option<u8> {
        self.take(count.min(8)).map(|value| value as u8)
    }

    pub(crate) fn flag(&mut self) -> Option<bool> {
        self.take(1).map(|bit| bit == 1)
    }

    pub(crate) fn skip(&mut self, count: usize) -> Option<()> {
        self.at = self.at.checked_add(count).filter(|end| *end <= self.data.len() * 8)?;
        Some(())
    }

    pub(crate) fn left(&self) -> usize {
        self.data.len() * 8 - self.at
    }

    /// ue(v) of ISO/IEC 14496-10 §9.1, up to 2^32 - 2; H.265 and AV1's uvlc() write the same.
    pub(crate) fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        let rest = self.take(zeros)?;
        Some((1u32 << zeros) - 1 + rest)
    }

    /// se(v) of ISO/IEC 14496-10 §9.1.1.
    pub(crate) fn se(&mut self) -> Option<i64> {
        let code = i64::from(self.ue()?);
        Some(if code % 2 == 1 { (code + 1) / 2 } else { -(code / 2) })
    }
}

#[cfg(test)]
#[allow(clippy::unusual_byte_groupings)] // bits stand together as fields do
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_across_bytes() {
        let mut bits = Bits::new(&[0b1010_0101, 0xFF, 0x00, 0x80, 0x01]);
        assert_eq!((bits.take(3), bits.flag(), bits.take(0)), (Some(0b101), Some(false), Some(0)));
        assert_eq!((bits.take(12), bits.left()), (Some(0x5FF), 24));
        assert_eq!(bits.take(25), None, "what is not there");
        assert_eq!((bits.take(24), bits.take(1)), (Some(0x0080_01), None));
    }

    #[test]
    fn exp_golomb_codes() {
        let mut bits = Bits::new(&[0b1_010_011_0, 0b0100_0010, 0b1_0001_000]);
        assert_eq!([bits.ue(), bits.ue(), bits.ue(), bits.ue(), bits.ue()], [0, 1, 2, 3, 4].map(Some));
        assert_eq!(Bits::new(&[0; 8]).ue(), None, "more zeros than any value has");
        let mut signed = Bits::new(&[0b1_010_011_0, 0b0100_0010, 0b1_0000_000]);
        let read = [signed.se(), signed.se(), signed.se(), signed.se(), signed.se()];
        assert_eq!(read, [0, 1, -1, 2, -2].map(Some));
    }
}
