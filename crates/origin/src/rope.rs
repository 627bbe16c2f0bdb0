//! A body that stands in memory in several pieces, as a segment of fragmented MP4 does in its parts: sent whole or in
//! part, never copied together.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::HttpBody;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

/// Bytes in pieces, one after the other. No piece is empty. A clone shares the bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rope {
    /// Most bodies are one piece: it needs no allocation. `None` when there are no bytes.
    first: Option<Bytes>,
    rest: VecDeque<Bytes>,
    len: u64,
}

impl Rope {
    /// How many bytes it has.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Bytes `start..end`, as slices of the pieces they lie in. What lies beyond the end is left out.
    pub(crate) fn slice(&self, start: u64, end: u64) -> Self {
        let mut at = 0;
        self.pieces()
            .filter_map(|piece| {
                let (from, to) = (at, at + piece.len() as u64);
                at = to;
                let (from, to) = (start.clamp(from, to) - from, end.clamp(from, to) - from);
                // Both are at most the piece's length, so they fit.
                (from < to).then(|| piece.slice(from as usize..to as usize))
            })
            .collect()
    }

    fn pieces(&self) -> impl Iterator<Item = &Bytes> {
        self.first.iter().chain(&self.rest)
    }

    /// All of it, copied together if it is in pieces.
    #[cfg(test)]
    pub(crate) fn whole(&self) -> Bytes {
        match &self.first {
            Some(first) if self.rest.is_empty() => first.clone(),
            _ => self.pieces().flatten().copied().collect(),
        }
    }
}

impl From<Bytes> for Rope {
    fn from(bytes: Bytes) -> Self {
        Self::from_iter([bytes])
    }
}

impl FromIterator<Bytes> for Rope {
    fn from_iter<I: IntoIterator<Item = Bytes>>(pieces: I) -> Self {
        let mut rope = Self::default();
        for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
            rope.len += piece.len() as u64;
            match rope.first {
                None => rope.first = Some(piece),
                Some(_) => rope.rest.push_back(piece),
            }
        }
        rope
    }
}

/// Sent a piece a frame; its length is known, so HTTP/1.1 needs no chunks.
impl HttpBody for Rope {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let rope = self.get_mut();
        let Some(piece) = rope.first.take() else { return Poll::Ready(None) };
        rope.first = rope.rest.pop_front();
        rope.len -= piece.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.len == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    fn rope(pieces: &[&'static str]) -> Rope {
        pieces.iter().map(|piece| Bytes::from_static(piece.as_bytes())).collect()
    }

    #[test]
    fn pieces_are_one_body() {
        for (pieces, want) in
            [(&[][..], ""), (&["", ""], ""), (&["abc"], "abc"), (&["", "abc", "", "de", "f", ""], "abcdef")]
        {
            let rope = rope(pieces);
            assert_eq!((rope.whole(), rope.len()), (Bytes::from_static(want.as_bytes()), want.len() as u64));
            assert_eq!(rope.size_hint().exact(), Some(want.len() as u64));
            assert_eq!(rope.is_end_stream(), want.is_empty());
        }
    }

    #[test]
    fn every_slice_is_that_of_the_bytes_put_together() {
        let (rope, whole) = (rope(&["abc", "d", "efgh"]), b"abcdefgh");
        for start in 0..=9 {
            for end in start..=10 {
                let want = &whole[start.min(8)..end.min(8)];
                let slice = rope.slice(start as u64, end as u64);
                assert_eq!((&slice.whole()[..], slice.len()), (want, want.len() as u64), "{start}..{end}");
            }
        }
        assert_eq!(rope.slice(5, 2).len(), 0, "nothing lies between");
        assert_eq!(rope.slice(u64::MAX - 1, u64::MAX).len(), 0);
    }

    #[test]
    fn slices_share_the_bytes() {
        let piece = Bytes::from(vec![7_u8; 100]);
        let rope: Rope = [piece.clone(), piece.clone()].into_iter().collect();
        let slice = rope.slice(90, 110);
        let starts: Vec<_> = slice.pieces().map(|piece| piece.as_ptr()).collect();
        assert_eq!(starts, [piece[90..].as_ptr(), piece.as_ptr()]);
    }

    #[tokio::test]
    async fn it_is_sent_in_its_pieces_and_counts_down() {
        let mut rope = rope(&["abc", "de"]);
        for (want, left) in [("abc", 2), ("de", 0)] {
            let frame = rope.frame().await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), want);
            assert_eq!((rope.len(), rope.is_end_stream()), (left, left == 0));
        }
        assert!(rope.frame().await.is_none());
    }
}
