//! One kept-alive HTTP/1.1 connection, which costs less than what it measures.

use std::{str, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Longest head of an answer.
const HEAD: usize = 16 << 10;
/// Longer than any blocking reload is held.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a server is, and what is asked of it.
#[derive(Clone)]
pub(crate) struct Place {
    /// `host:port`.
    pub(crate) host: String,
    /// From the first slash on.
    pub(crate) path: String,
}

impl Place {
    /// Reads `http://host:port/path`.
    pub(crate) fn parse(url: &str) -> Result<Self> {
        let rest = url.strip_prefix("http://").with_context(|| format!("{url:?} is no http:// address"))?;
        let slash = rest.find('/').with_context(|| format!("{url:?} has no path"))?;
        let (host, path) = rest.split_at(slash);
        let host = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
        Ok(Self { host, path: path.to_owned() })
    }

    /// Another address, as this one's document writes it.
    pub(crate) fn join(&self, relative: &str) -> Self {
        let path = match relative.strip_prefix('/') {
            Some(_) => relative.to_owned(),
            None => {
                let base = &self.path[..self.path.rfind('/').map_or(0, |slash| slash + 1)];
                format!("{base}{relative}")
            }
        };
        Self { host: self.host.clone(), path }
    }
}

/// A connection.
pub(crate) struct Wire {
    stream: TcpStream,
    host: String,
    buffer: Vec<u8>,
    filled: usize,
    gzip: bool,
}

/// What an answer was.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Bytes of the body on the wire.
    pub(crate) length: usize,
}

impl Wire {
    /// Connects. With `gzip` it says that it takes compressed answers, which it never expands.
    pub(crate) async fn connect(host: &str, gzip: bool) -> Result<Self> {
        let stream = timeout(PATIENCE, TcpStream::connect(host)).await??;
        stream.set_nodelay(true)?;
        Ok(Self { stream, host: host.to_owned(), buffer: vec![0; HEAD], filled: 0, gzip })
    }

    /// Asks for `path`; the body goes to `body`, or nowhere.
    pub(crate) async fn get(&mut self, path: &str, body: Option<&mut Vec<u8>>) -> Result<Answer> {
        let encoding = if self.gzip { "accept-encoding: gzip\r\n" } else { "" };
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n{encoding}\r\n", self.host);
        self.stream.write_all(request.as_bytes()).await?;
        timeout(PATIENCE, self.answer(body)).await.context("no answer in time")?
    }

    async fn answer(&mut self, body: Option<&mut Vec<u8>>) -> Result<Answer> {
        loop {
            if let Some((head, status, length)) = self.head()? {
                let early = self.filled - head;
                ensure!(early <= length, "more came than was told");
                self.rest(head, length, body).await?;
                return Ok(Answer { status, length });
            }
            ensure!(self.filled < self.buffer.len(), "a head of more than {HEAD} bytes");
            let count = self.stream.read(&mut self.buffer[self.filled..]).await?;
            ensure!(count > 0, "closed before the answer");
            self.filled += count;
        }
    }

    /// Length of the head, status, and length of the body, once the head is there.
    fn head(&self) -> Result<Option<(usize, u16, usize)>> {
        let mut headers = [httparse::EMPTY_HEADER; 48];
        let mut response = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(head) = response.parse(&self.buffer[..self.filled])? else {
            return Ok(None);
        };
        let length = response.headers.iter().find(|one| one.name.eq_ignore_ascii_case("content-length"));
        let Some(length) = length else { bail!("an answer without a length") };
        let length = str::from_utf8(length.value)?.trim().parse()?;
        Ok(Some((head, response.code.unwrap_or(0), length)))
    }

    async fn rest(&mut self, head: usize, length: usize, body: Option<&mut Vec<u8>>) -> Result<()> {
        let mut left = length - (self.filled - head);
        match body {
            Some(body) => {
                body.clear();
                body.extend_from_slice(&self.buffer[head..self.filled]);
                let early = body.len();
                body.resize(length, 0);
                self.stream.read_exact(&mut body[early..]).await?;
            }
            None => {
                if left > self.buffer.len() {
                    self.buffer.resize(256 << 10, 0);
                }
                while left > 0 {
                    let most = left.min(self.buffer.len());
                    let count = self.stream.read(&mut self.buffer[..most]).await?;
                    ensure!(count > 0, "closed in the middle of an answer");
                    left -= count;
                }
            }
        }
        self.filled = 0;
        Ok(())
    }
}
