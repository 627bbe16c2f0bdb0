//! The RC4 key stream, for RTMPE alone. It is broken as a cipher and stands here because RTMPE is defined by it: what
//! it hides is to be taken as sent in the clear. The one well-known crate for it asks for its key length in the type
//! and is older than this file's needs, so the twenty lines stand here, with the vectors of RFC 6229.

/// A key stream; both directions of a connection have one each, which runs on from the first byte to the last.
#[derive(Clone)]
pub(crate) struct Rc4 {
    table: [u8; 256],
    i: u8,
    j: u8,
}

impl std::fmt::Debug for Rc4 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rc4") // the table is the key
    }
}

impl Rc4 {
    /// A stream whose first `skipped` bytes are thrown away.
    pub(crate) fn new(key: &[u8; 16], skipped: usize) -> Self {
        let mut table: [u8; 256] = std::array::from_fn(|at| at as u8);
        let mut j = 0u8;
        for i in 0..256 {
            j = j.wrapping_add(table[i]).wrapping_add(key[i % key.len()]);
            table.swap(i, usize::from(j));
        }
        let mut stream = Self { table, i: 0, j: 0 };
        for _ in 0..skipped {
            stream.next();
        }
        stream
    }

    /// Encrypts or decrypts in place: the two are the same.
    pub(crate) fn apply(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte ^= self.next();
        }
    }

    fn next(&mut self) -> u8 {
        self.i = self.i.wrapping_add(1);
        let a = self.table[usize::from(self.i)];
        self.j = self.j.wrapping_add(a);
        let b = self.table[usize::from(self.j)];
        self.table[usize::from(self.i)] = b;
        self.table[usize::from(self.j)] = a;
        self.table[usize::from(a.wrapping_add(b))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_rfc_6229() {
        let key = std::array::from_fn(|at| at as u8 + 1);
        for (offset, want) in [
            (0, 0x9AC7_CC9A_609D_1EF7_B293_2899_CDE4_1B97),
            (16, 0x5248_C495_9014_126A_6E8A_84F1_1D1A_9E1C),
            (1536, 0xFFA0_B514_647E_C04F_6306_B892_AE66_1181),
            (4096, 0xA36A_4C30_1AE8_AC13_610C_CBC1_2256_CACC_u128),
        ] {
            let mut bytes = [0; 16];
            Rc4::new(&key, offset).apply(&mut bytes);
            assert_eq!(u128::from_be_bytes(bytes), want, "offset {offset}");
        }
    }

    #[test]
    fn it_may_be_cut_anywhere_and_undoes_itself() {
        let (mut whole, mut cut) = ([7; 100], [7; 100]);
        Rc4::new(b"0123456789abcdef", 0).apply(&mut whole);
        let mut stream = Rc4::new(b"0123456789abcdef", 0);
        cut.chunks_mut(7).for_each(|piece| stream.apply(piece));
        assert_eq!(cut, whole);
        Rc4::new(b"0123456789abcdef", 0).apply(&mut cut);
        assert_eq!(cut, [7; 100]);
    }
}
