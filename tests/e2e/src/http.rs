//! A plain HTTP/1.1 client over one kept connection, which tells times and headers as they came.

use anyhow::{Context, Result, bail, ensure};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

const CONNECT: Duration = Duration::from_secs(3);
const READ: Duration = Duration::from_secs(15);
const BODY_LIMIT: usize = 256 << 20;

/// `http://host:port/path`, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// `host:port`.
    pub authority: String,
    /// Path and query, from the slash on.
    pub path: String,
}

impl Url {
    /// Only plain http is understood.
    pub fn parse(text: &str) -> Result<Self> {
        let rest = text.strip_prefix("http://").with_context(|| format!("{text} is no http:// URL"))?;
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let authority = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
        Ok(Url { authority, path: if path.is_empty() { "/".into() } else { path.into() } })
    }

    /// Resolves a reference as playlists hold them (RFC 3986 §5.2: absolute, rooted or relative, with dot segments).
    pub fn join(&self, reference: &str) -> Result<Self> {
        if reference.contains("://") {
            return Url::parse(reference);
        }
        let base = self.path.split('?').next().unwrap_or("/");
        let (reference, query) = match reference.split_once('?') {
            Some((path, query)) => (path, format!("?{query}")),
            None => (reference, String::new()),
        };
        let joined = if reference.starts_with('/') {
            reference.to_owned()
        } else {
            format!("{}{reference}", &base[..=base.rfind('/').unwrap_or(0)])
        };
        let mut parts: Vec<&str> = Vec::new();
        for part in joined.split('/').skip(1) {
            match part {
                "." => {}
                ".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        Ok(Url { authority: self.authority.clone(), path: format!("/{}{query}", parts.join("/")) })
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "http://{}{}", self.authority, self.path)
    }
}

/// An answer with its times.
#[derive(Debug, Clone)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// In order, names as they came.
    pub headers: Vec<(String, String)>,
    /// As sent: not unzipped.
    pub body: Vec<u8>,
    /// From the request's last byte to the answer's head.
    pub first_byte: Duration,
    /// From the request's last byte to the body's end.
    pub total: Duration,
}

impl Response {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// The media type without parameters.
    pub fn media_type(&self) -> &str {
        self.header("content-type").and_then(|v| v.split(';').next()).unwrap_or("").trim()
    }

    /// The body as text, unzipped where the head says so.
    pub fn text(&self) -> Result<String> {
        let bytes = if self.header("content-encoding") == Some("gzip") {
            let mut out = Vec::new();
            flate2::read::GzDecoder::new(&self.body[..]).read_to_end(&mut out).context("gzip body")?;
            out
        } else {
            self.body.clone()
        };
        String::from_utf8(bytes).context("body is no UTF-8")
    }
}

/// One client, one kept connection.
#[derive(Default)]
pub struct Client {
    open: Option<(String, BufReader<TcpStream>)>,
}

impl Client {
    /// GET without further headers.
    pub fn get(&mut self, url: &Url) -> Result<Response> {
        self.request("GET", url, &[])
    }

    /// Any method; a kept connection that was closed meanwhile is opened anew, once.
    pub fn request(&mut self, method: &str, url: &Url, headers: &[(&str, &str)]) -> Result<Response> {
        let kept = self.open.as_ref().is_some_and(|(to, _)| *to == url.authority);
        match self.attempt(method, url, headers) {
            Err(_) if kept => {
                self.open = None;
                self.attempt(method, url, headers)
            }
            other => other,
        }
        .with_context(|| format!("{method} {url}"))
    }

    fn attempt(&mut self, method: &str, url: &Url, headers: &[(&str, &str)]) -> Result<Response> {
        let mut stream = match self.open.take() {
            Some((to, stream)) if to == url.authority => stream,
            _ => {
                let address = url.authority.to_socket_addrs()?.next().context("no address")?;
                let stream = TcpStream::connect_timeout(&address, CONNECT)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(READ))?;
                stream.set_write_timeout(Some(READ))?;
                BufReader::new(stream)
            }
        };
        let mut head = format!("{method} {} HTTP/1.1\r\nHost: {}\r\n", url.path, url.authority);
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        stream.get_mut().write_all(head.as_bytes())?;
        let sent = Instant::now();
        let mut response = read_head(&mut stream)?;
        response.first_byte = sent.elapsed();
        let bodiless = method == "HEAD" || matches!(response.status, 100..=199 | 204 | 304);
        let mut keep = response.header("connection").is_none_or(|v| !v.eq_ignore_ascii_case("close"));
        if !bodiless {
            keep &= read_body(&mut stream, &mut response)?;
        }
        response.total = sent.elapsed();
        if keep {
            self.open = Some((url.authority.clone(), stream));
        }
        Ok(response)
    }
}

fn line(stream: &mut impl BufRead) -> Result<String> {
    let mut text = String::new();
    let read = stream.take(64 << 10).read_line(&mut text)?;
    ensure!(read > 0 && text.ends_with('\n'), "connection closed in the head");
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn read_head(stream: &mut impl BufRead) -> Result<Response> {
    let status = line(stream)?;
    let old = status.starts_with("HTTP/1.0 ");
    let code = status.strip_prefix("HTTP/1.").and_then(|s| s.get(2..5)).and_then(|s| s.parse().ok());
    let status = code.with_context(|| format!("{status:?} is no HTTP/1.1 status line"))?;
    let mut headers = Vec::new();
    if old {
        headers.push(("Connection".to_owned(), "close".to_owned())); // its default
    }
    loop {
        let text = line(stream)?;
        if text.is_empty() {
            break;
        }
        let (name, value) = text.split_once(':').with_context(|| format!("header line {text:?}"))?;
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    Ok(Response { status, headers, body: Vec::new(), first_byte: Duration::ZERO, total: Duration::ZERO })
}

/// Whether the connection can be used again.
fn read_body(stream: &mut impl BufRead, response: &mut Response) -> Result<bool> {
    if response.header("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
        loop {
            let size = line(stream)?;
            let size = usize::from_str_radix(size.split(';').next().unwrap_or("").trim(), 16)?;
            ensure!(size + response.body.len() <= BODY_LIMIT, "body over {BODY_LIMIT} bytes");
            let start = response.body.len();
            response.body.resize(start + size, 0);
            stream.read_exact(&mut response.body[start..])?;
            ensure!(line(stream)?.is_empty(), "chunk runs over its size");
            if size == 0 {
                return Ok(true);
            }
        }
    }
    if let Some(length) = response.header("content-length") {
        let length: usize = length.parse().context("Content-Length")?;
        if length > BODY_LIMIT {
            bail!("body of {length} bytes");
        }
        response.body.resize(length, 0);
        stream.read_exact(&mut response.body)?;
        return Ok(true);
    }
    stream.take(BODY_LIMIT as u64).read_to_end(&mut response.body)?;
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_resolve() {
        let base = Url::parse("http://h:1/live/x/index.m3u8?a=b").unwrap();
        for (reference, want) in [
            ("1/720p/index.m3u8", "http://h:1/live/x/1/720p/index.m3u8"),
            ("../y.ts?q=1", "http://h:1/live/y.ts?q=1"),
            ("/z", "http://h:1/z"),
            ("http://o/p", "http://o:80/p"),
        ] {
            assert_eq!(base.join(reference).unwrap().to_string(), want, "{reference}");
        }
    }
}
