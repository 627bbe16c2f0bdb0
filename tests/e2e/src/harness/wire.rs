//! A minimal RTMP publisher that sends FLV tags as they are, times included: what ffmpeg would repair or refuse on the
//! way out reaches the gateway. Simple handshake, one chunk a message, no reading beyond what the dialogue needs.

use super::flv::Tag;
use anyhow::{Context, Result, ensure};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// A connection in the publishing state.
pub struct Wire {
    stream: TcpStream,
    started: Instant,
}

const CHUNK: u32 = 1 << 20;

fn amf_text(out: &mut Vec<u8>, text: &str) {
    out.push(2);
    out.extend((text.len() as u16).to_be_bytes());
    out.extend(text.as_bytes());
}

fn amf_number(out: &mut Vec<u8>, number: f64) {
    out.push(0);
    out.extend(number.to_be_bytes());
}

/// The simple handshake (RTMP 1.0 §5.2).
pub(super) fn shake_hands(stream: &mut TcpStream) -> Result<()> {
    let mut hello = vec![3];
    hello.resize(1 + 1536, 0);
    stream.write_all(&hello)?;
    let mut answer = vec![0; 1 + 1536 + 1536];
    stream.read_exact(&mut answer).context("S0, S1, S2")?;
    Ok(stream.write_all(&answer[1..1537])?)
}

impl Wire {
    /// Connects to `host:port` and publishes `name` in the app `live`.
    pub fn publish(address: &str, name: &str) -> Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.set_write_timeout(Some(Duration::from_secs(10)))?;
        shake_hands(&mut stream)?;
        let mut wire = Wire { stream, started: Instant::now() };
        wire.message(2, 1, 0, 0, &CHUNK.to_be_bytes())?;

        let mut connect = Vec::new();
        amf_text(&mut connect, "connect");
        amf_number(&mut connect, 1.0);
        connect.push(3);
        for (field, value) in
            [("app", "live"), ("tcUrl", &format!("rtmp://{address}/live")), ("flashVer", "FMLE/3.0")]
        {
            connect.extend((field.len() as u16).to_be_bytes());
            connect.extend(field.as_bytes());
            amf_text(&mut connect, value);
        }
        connect.extend([0, 0, 9]);
        wire.message(3, 20, 0, 0, &connect)?;
        wire.until(b"NetConnection.Connect.Success")?;
        let mut create = Vec::new();
        amf_text(&mut create, "createStream");
        amf_number(&mut create, 2.0);
        create.push(5);
        wire.message(3, 20, 0, 0, &create)?;
        wire.until(b"_result")?;
        let mut publish = Vec::new();
        amf_text(&mut publish, "publish");
        amf_number(&mut publish, 3.0);
        publish.push(5);
        amf_text(&mut publish, name);
        amf_text(&mut publish, "live");
        wire.message(3, 20, 0, 1, &publish)?;
        wire.until(b"NetStream.Publish.Start")?;
        wire.stream.set_nonblocking(false)?;
        wire.started = Instant::now();
        Ok(wire)
    }

    fn message(&mut self, chunk_stream: u8, kind: u8, time: u32, stream: u32, body: &[u8]) -> Result<()> {
        let mut out = vec![chunk_stream];
        let extended = time >= 0xff_ffff;
        out.extend(&(if extended { 0xff_ffff } else { time }).to_be_bytes()[1..]);
        out.extend(&u32::try_from(body.len())?.to_be_bytes()[1..]);
        out.push(kind);
        out.extend(stream.to_le_bytes());
        if extended {
            out.extend(time.to_be_bytes());
        }
        ensure!(body.len() <= CHUNK as usize, "a message of {} bytes", body.len());
        out.extend(body);
        Ok(self.stream.write_all(&out)?)
    }

    /// Reads until the bytes hold this text; good enough for a dialogue of a few known answers.
    fn until(&mut self, text: &[u8]) -> Result<()> {
        let mut seen = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let read = self.stream.read(&mut buffer).with_context(|| wanted(text, &seen))?;
            ensure!(read > 0, "closed: {}", wanted(text, &seen));
            seen.extend(&buffer[..read]);
            if seen.windows(text.len()).any(|w| w == text) {
                return Ok(());
            }
        }
    }

    /// Sends tags at their times: the first at once, the others after it as `pace` maps their times to milliseconds of
    /// real time since `publish`.
    pub fn send(&mut self, tags: &[Tag], pace: impl Fn(usize, &Tag) -> u64) -> Result<()> {
        for (index, tag) in tags.iter().enumerate() {
            let due = Duration::from_millis(pace(index, tag));
            std::thread::sleep(due.saturating_sub(self.started.elapsed()));
            let chunk_stream = if tag.kind == 8 { 4 } else { 6 };
            self.message(chunk_stream, tag.kind, tag.time, 1, &tag.body)?;
        }
        Ok(())
    }

    /// deleteStream, then the connection closes.
    pub fn finish(mut self) -> Result<()> {
        let mut delete = Vec::new();
        amf_text(&mut delete, "deleteStream");
        amf_number(&mut delete, 0.0);
        delete.push(5);
        amf_number(&mut delete, 1.0);
        self.message(3, 20, 0, 0, &delete)
    }
}

fn wanted(text: &[u8], seen: &[u8]) -> String {
    let printable: String =
        seen.iter().map(|b| if (32..127).contains(b) { *b as char } else { '.' }).collect();
    format!("waiting for {}, got {printable}", String::from_utf8_lossy(text))
}
