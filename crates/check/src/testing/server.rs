//! A small HTTP server for tests, which keeps to the book so that a test can break one thing.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// What was asked.
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) headers: BTreeMap<String, String>,
}

/// What is answered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<&'static str, String>,
    pub(crate) body: Vec<u8>,
    /// The body goes out in so many pieces with this time before each.
    pub(crate) pieces: Option<(usize, Duration)>,
}

impl Reply {
    /// 200, open to all origins.
    pub(crate) fn ok(kind: &str, age: u64, body: impl Into<Vec<u8>>) -> Self {
        let headers = [
            ("content-type", kind.to_owned()),
            ("cache-control", if age == 0 { "no-cache".into() } else { format!("max-age={age}") }),
            ("access-control-allow-origin", "*".to_owned()),
            ("access-control-expose-headers", "Age, Date, ETag, Content-Length, Content-Range".to_owned()),
        ];
        Reply { status: 200, headers: headers.into(), body: body.into(), pieces: None }
    }

    /// A status without more.
    pub(crate) fn bare(status: u16) -> Self {
        Reply { status, ..Reply::ok("text/plain", 0, "") }
    }
}

/// Answers requests until it is dropped.
pub(crate) struct Server {
    address: String,
    stop: Arc<AtomicBool>,
}

/// Makes an answer.
pub(crate) type Handler = dyn Fn(&Request) -> Reply + Send + Sync;

impl Server {
    pub(crate) fn start(handler: Arc<Handler>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let stop = Arc::new(AtomicBool::new(false));
        let flag = stop.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if flag.load(Ordering::Relaxed) {
                    return;
                }
                let (handler, flag) = (handler.clone(), flag.clone());
                thread::spawn(move || drop(serve(stream, &*handler, &flag)));
            }
        });
        Server { address, stop }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(&self.address));
    }
}

fn serve(mut stream: TcpStream, handler: &Handler, stop: &AtomicBool) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(request) = read(&mut reader)? {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let reply = handler(&request);
        let mut head = format!("HTTP/1.1 {} x\r\n", reply.status);
        for (name, value) in &reply.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let bodiless = request.method == "HEAD" || matches!(reply.status, 204 | 304);
        if reply.pieces.is_some() && !bodiless {
            head.push_str("transfer-encoding: chunked\r\n\r\n");
            stream.write_all(head.as_bytes())?;
            let (count, pause) = reply.pieces.unwrap_or((1, Duration::ZERO));
            for piece in reply.body.chunks(reply.body.len().div_ceil(count).max(1)) {
                thread::sleep(pause);
                let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
                chunk.extend(piece);
                chunk.extend(b"\r\n");
                stream.write_all(&chunk)?;
            }
            stream.write_all(b"0\r\n\r\n")?;
            continue;
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", reply.body.len()));
        let mut out = head.into_bytes();
        if !bodiless {
            out.extend(&reply.body);
        }
        stream.write_all(&out)?;
    }
    Ok(())
}

fn read(reader: &mut impl BufRead) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.take(8192).read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split(' ');
    let method = words.next().unwrap_or_default().to_owned();
    let target = words.next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let pair = |p: &str| p.split_once('=').map(|(n, v)| (n.to_owned(), v.to_owned()));
    let mut request = Request {
        method,
        path: path.to_owned(),
        query: query.split('&').filter_map(pair).collect(),
        headers: BTreeMap::new(),
    };
    loop {
        let mut line = String::new();
        if reader.take(8192).read_line(&mut line)? == 0 || line.trim().is_empty() {
            return Ok(Some(request));
        }
        if let Some((name, value)) = line.split_once(':') {
            request.headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
    }
}

/// What any good server does with a whole answer: validators, compression of text, HEAD, ranges, preflights.
pub(crate) fn by_the_book(request: &Request, mut reply: Reply) -> Reply {
    if request.method == "OPTIONS" {
        let mut reply = Reply::bare(204);
        reply.headers.insert("access-control-allow-headers", "Range, If-None-Match".into());
        return reply;
    }
    if reply.status != 200 {
        return reply;
    }
    let kind = reply.headers["content-type"].clone();
    let text = kind.contains("mpegurl") || kind.contains("dash");
    let tag = reply.body.iter().fold(7u64, |tag, b| tag.wrapping_mul(31).wrapping_add(u64::from(*b)));
    if text {
        reply.headers.insert("vary", "Accept-Encoding".into());
        let zip = request.headers.get("accept-encoding").is_some_and(|v| v.contains("gzip"));
        let etag = format!("\"{tag:x}{}\"", if zip { "z" } else { "" });
        if request.headers.get("if-none-match") == Some(&etag) {
            reply.status = 304;
            reply.body.clear();
        }
        reply.headers.insert("etag", etag);
        if zip && reply.status == 200 {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            out.write_all(&reply.body).unwrap();
            reply.body = out.finish().unwrap();
            reply.headers.insert("content-encoding", "gzip".into());
        }
        return reply;
    }
    reply.headers.insert("accept-ranges", "bytes".into());
    let range = request.headers.get("range").and_then(|r| r.strip_prefix("bytes=")?.split_once('-'));
    if let Some((from, to)) = range {
        let from: usize = from.parse().unwrap();
        let to = to.parse().unwrap_or(usize::MAX).min(reply.body.len().saturating_sub(1));
        let size = reply.body.len();
        if from >= size {
            reply.status = 416;
            reply.headers.insert("content-range", format!("bytes */{size}"));
            reply.body.clear();
        } else {
            reply.status = 206;
            reply.headers.insert("content-range", format!("bytes {from}-{to}/{size}"));
            reply.body = reply.body[from..=to].to_vec();
        }
    }
    reply
}
