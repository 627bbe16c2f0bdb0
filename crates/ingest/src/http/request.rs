//! Requests out of a byte stream: heads by `httparse`, bodies by their length or in chunks.
//!
//! Memory grows with what came, never with what was announced, and each part has a size and a time it may take.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, ReadHalf},
    time::{Instant, timeout_at},
};

/// Bytes of a request line with its headers.
pub(crate) const HEAD_MAX: usize = 8 * 1024;
/// Headers of a request.
const HEADERS_MAX: usize = 48;
/// Silence between two requests.
const IDLE_LIMIT: Duration = Duration::from_secs(65);
/// From accept to the end of the first head, and from the first byte of a head to its end.
const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// From the end of a head to the end of its body.
const BODY_LIMIT: Duration = Duration::from_secs(30);
/// Digits, extensions and line end of one chunk's size, and each trailer.
const CHUNK_LINE_MAX: usize = 256;
/// Trailers after the last chunk.
const TRAILERS_MAX: usize = 16;

/// Why a connection cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Malformed,
    NoLength,
    HeadTooLarge,
    BodyTooLarge,
    Slow,
    /// Closed or broken in the middle of a request.
    Lost,
}

/// A request's head.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) is_post: bool,
    pub(crate) is_head: bool,
    pub(crate) path: String,
    /// The connection ends with the reply.
    pub(crate) closes: bool,
    pub(crate) expects_continue: bool,
    length: Length,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Bytes(u64),
    Chunked,
}

/// Reads one connection's requests.
pub(crate) struct Reader<IO> {
    io: ReadHalf<IO>,
    buffer: BytesMut,
    first: bool,
}

impl<IO: AsyncRead> Reader<IO> {
    pub(crate) fn new(io: ReadHalf<IO>) -> Self {
        Self { io, buffer: BytesMut::new(), first: true }
    }

    /// Whether nothing of the next request has come.
    pub(crate) fn is_between_requests(&self) -> bool {
        self.buffer.is_empty()
    }

    /// The next request's head; `None` when the peer has ended or gone silent between two. Cancel-safe.
    pub(crate) async fn head(&mut self) -> Result<Option<Request>, Fault> {
        let mut until = Instant::now() + if self.first { HEAD_LIMIT } else { IDLE_LIMIT };
        if !self.buffer.is_empty() {
            until = Instant::now() + HEAD_LIMIT;
        }
        loop {
            // Some clients end a body with a line end that is not counted.
            while self.buffer.first().is_some_and(|byte| matches!(byte, b'\r' | b'\n')) {
                self.buffer.advance(1);
            }
            if let Some((length, request)) = parse(&self.buffer)? {
                self.buffer.advance(length);
                self.first = false;
                return Ok(Some(request));
            }
            if self.buffer.len() >= HEAD_MAX {
                return Err(Fault::HeadTooLarge);
            }
            let begun = !self.buffer.is_empty();
            match self.more(until).await {
                Ok(()) => {}
                Err(Fault::Lost | Fault::Slow) if !begun => return Ok(None),
                Err(fault) => return Err(fault),
            }
            if !begun && !self.first {
                until = Instant::now() + HEAD_LIMIT;
            }
        }
    }

    /// The body behind a head, up to `limit` bytes.
    pub(crate) async fn body(&mut self, request: &Request, limit: usize) -> Result<Bytes, Fault> {
        let until = Instant::now() + BODY_LIMIT;
        match request.length {
            Length::Bytes(length) => {
                let length = usize::try_from(length).map_err(|_| Fault::BodyTooLarge)?;
                if length > limit {
                    return Err(Fault::BodyTooLarge);
                }
                while self.buffer.len() < length {
                    self.more(until).await?;
                }
                Ok(self.buffer.split_to(length).freeze())
            }
            Length::Chunked => self.chunks(limit, until).await,
        }
    }

    async fn chunks(&mut self, limit: usize, until: Instant) -> Result<Bytes, Fault> {
        let mut body = BytesMut::new();
        loop {
            let length = self.chunk_size(until).await?;
            if length == 0 {
                break;
            }
            let length = usize::try_from(length).map_err(|_| Fault::BodyTooLarge)?;
            if length > limit.saturating_sub(body.len()) {
                return Err(Fault::BodyTooLarge);
            }
            while self.buffer.len() < length + 2 {
                self.more(until).await?;
            }
            body.extend_from_slice(&self.buffer[..length]);
            if self.buffer[length..length + 2] != *b"\r\n" {
                return Err(Fault::Malformed);
            }
            self.buffer.advance(length + 2);
        }
        for _ in 0..TRAILERS_MAX {
            if self.line(until).await? == 0 {
                return Ok(body.freeze());
            }
        }
        Err(Fault::Malformed)
    }

    async fn chunk_size(&mut self, until: Instant) -> Result<u64, Fault> {
        loop {
            match httparse::parse_chunk_size(&self.buffer) {
                Ok(httparse::Status::Complete((line, length))) => {
                    self.buffer.advance(line);
                    return Ok(length);
                }
                Ok(httparse::Status::Partial) if self.buffer.len() < CHUNK_LINE_MAX => {
                    self.more(until).await?
                }
                _ => return Err(Fault::Malformed),
            }
        }
    }

    /// Skips a line; its length without the line end.
    async fn line(&mut self, until: Instant) -> Result<usize, Fault> {
        loop {
            let window = &self.buffer[..self.buffer.len().min(CHUNK_LINE_MAX)];
            if let Some(length) = window.windows(2).position(|pair| pair == b"\r\n") {
                self.buffer.advance(length + 2);
                return Ok(length);
            }
            if self.buffer.len() >= CHUNK_LINE_MAX {
                return Err(Fault::Malformed);
            }
            self.more(until).await?;
        }
    }

    async fn more(&mut self, until: Instant) -> Result<(), Fault> {
        self.buffer.reserve(4096);
        match timeout_at(until, self.io.read_buf(&mut self.buffer)).await {
            Ok(Ok(0) | Err(_)) => Err(Fault::Lost),
            Ok(Ok(_)) => Ok(()),
            Err(_) => Err(Fault::Slow),
        }
    }
}

/// A head at the front of `bytes` and its length; `None` while it is not whole.
fn parse(bytes: &[u8]) -> Result<Option<(usize, Request)>, Fault> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Request::new(&mut headers);
    let length = match head.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length <= HEAD_MAX => length,
        Ok(httparse::Status::Complete(_)) | Err(httparse::Error::TooManyHeaders) => {
            return Err(Fault::HeadTooLarge);
        }
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(Fault::Malformed),
    };
    let method = head.method.unwrap_or_default();
    let mut request = Request {
        is_post: method == "POST",
        is_head: method == "HEAD",
        path: path_of(head.path.unwrap_or_default()).to_owned(),
        closes: head.version == Some(0),
        expects_continue: false,
        length: Length::Bytes(0),
    };
    let (mut counted, mut chunked) = (None, false);
    for header in head.headers.iter() {
        let value = std::str::from_utf8(header.value).map_err(|_| Fault::Malformed)?.trim();
        let has = |word: &str| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word));
        if header.name.eq_ignore_ascii_case("content-length") {
            let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
            // More digits than fit are a body too large, not a malformed head.
            let count = value.parse::<u64>().unwrap_or(u64::MAX);
            if !digits || counted.is_some_and(|other| other != count) {
                return Err(Fault::Malformed);
            }
            counted = Some(count);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            if !value.eq_ignore_ascii_case("chunked") || chunked {
                return Err(Fault::Malformed);
            }
            chunked = true;
        } else if header.name.eq_ignore_ascii_case("connection") {
            request.closes = has("close") || (request.closes && !has("keep-alive"));
        } else if header.name.eq_ignore_ascii_case("expect") {
            request.expects_continue = has("100-continue");
        }
    }
    request.length = match (counted, chunked) {
        // Two lengths: whoever stands between might take the other one (RFC 9112 §6.1).
        (Some(_), true) => return Err(Fault::Malformed),
        (None, true) => Length::Chunked,
        (Some(count), false) => Length::Bytes(count),
        (None, false) if request.is_post => return Err(Fault::NoLength),
        (None, false) => Length::Bytes(0),
    };
    Ok(Some((length, request)))
}

/// The path of a request target; a client behind a proxy may send the whole URL.
fn path_of(target: &str) -> &str {
    match target.split_once("://") {
        Some((scheme, rest))
            if scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https") =>
        {
            rest.find('/').map_or("/", |at| &rest[at..])
        }
        _ => target,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    async fn read(text: &str) -> Vec<Result<(String, String), Fault>> {
        let (mut near, far) = tokio::io::duplex(1 << 20);
        near.write_all(text.as_bytes()).await.unwrap();
        drop(near);
        let mut reader = Reader::new(tokio::io::split(far).0);
        let mut found = Vec::new();
        loop {
            let request = match reader.head().await {
                Ok(None) => return found,
                Ok(Some(request)) => request,
                Err(fault) => {
                    found.push(Err(fault));
                    return found;
                }
            };
            match reader.body(&request, 16).await {
                Ok(body) => found.push(Ok((request.path, String::from_utf8(body.to_vec()).unwrap()))),
                Err(fault) => {
                    found.push(Err(fault));
                    return found;
                }
            }
        }
    }

    #[tokio::test]
    async fn requests_are_read_one_behind_the_other() {
        let text = "POST /open/1 HTTP/1.1\r\nContent-length: 1\r\n\r\n\0\r\n\
                    POST http://host/send/x/0 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\
                    3;note=1\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: x\r\n\r\n\
                    GET / HTTP/1.0\r\n\r\n";
        let want = [("/open/1", "\0"), ("/send/x/0", "abcde"), ("/", "")];
        let found: Vec<_> = read(text).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(found, want.map(|(path, body)| (path.to_owned(), body.to_owned())));
    }

    #[tokio::test]
    async fn faults_are_told_apart() {
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(HEAD_MAX));
        for (text, want) in [
            ("POST / HTTP/1.1\r\n\r\n", Fault::NoLength),
            ("POST / HTTP/1.1\r\nContent-Length: 17\r\n\r\n", Fault::BodyTooLarge),
            ("POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n", Fault::BodyTooLarge),
            ("POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", Fault::Malformed),
            ("POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", Fault::Malformed),
            ("POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", Fault::Malformed),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n11\r\n", Fault::BodyTooLarge),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", Fault::Malformed),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc", Fault::Malformed),
            ("POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\na", Fault::Lost),
            ("POST / HTT", Fault::Lost),
            ("\x03\0\0\0garbage\r\n\r\n", Fault::Malformed),
            (&long, Fault::HeadTooLarge),
        ] {
            assert_eq!(read(text).await, [Err(want)], "{text:?}");
        }
    }
}
