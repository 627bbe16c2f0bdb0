//! The `ffmpeg` and `ffprobe` programs as makers of media and as judges.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use bytes::Bytes;
use media::{
    AudioCodec, AudioConfig, MediaSpan, MediaTime, OtherAudio, OtherVideo, Packet, TrackId, TrackKind,
    VideoCodec, VideoConfig, aac, av1, h264, hevc,
};
use mp4_atom::{Decode, Header};

use super::fmp4;

/// The program, quiet; `None`, and a word about it, when it is not installed.
pub fn ffmpeg() -> Option<Command> {
    let there =
        Command::new("ffmpeg").arg("-version").stdout(Stdio::null()).status().is_ok_and(|it| it.success());
    if !there {
        eprintln!("SKIPPED: no `ffmpeg` on PATH, nothing was decoded");
        return None;
    }
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-nostdin", "-v", "warning"]);
    Some(command)
}

/// A folder of one test, removed at its end.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sluice-hls-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn write<'a>(&self, name: &str, pieces: impl IntoIterator<Item = &'a Bytes>) -> PathBuf {
        let path = self.0.join(name);
        let bytes: Vec<u8> = pieces.into_iter().flat_map(|piece| piece.to_vec()).collect();
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// One track of packets, and its configuration.
#[derive(Clone, Debug)]
pub enum Config {
    Video(Arc<VideoConfig>),
    Audio(Arc<AudioConfig>),
}

#[derive(Clone, Debug)]
pub struct Media {
    pub config: Config,
    pub packets: Vec<Packet>,
}

impl Media {
    /// Stamps as RTMP has them: whole milliseconds, the composition offset too.
    pub fn in_milliseconds(mut self) -> Self {
        for packet in &mut self.packets {
            let dts = packet.dts.ticks() / 90;
            let offset = (packet.pts - packet.dts).ticks() / 90;
            packet.dts = MediaTime::from_ticks(dts * 90);
            packet.pts = MediaTime::from_ticks((dts + offset) * 90);
        }
        self
    }
}

/// What an encoder makes: `output` are its arguments, `input` a source of `lavfi`. `None` when `ffmpeg` or the encoder is
/// not there.
pub fn encode(input: &str, output: &[&str]) -> Option<Media> {
    let mut command = ffmpeg()?;
    if let Some(encoder) = output.windows(2).find(|pair| pair[0].starts_with("-c:")).map(|pair| pair[1]) {
        let help = ffmpeg()?.args(["-h", &format!("encoder={encoder}")]).output().unwrap();
        if !String::from_utf8_lossy(&help.stdout).contains("Encoder ") {
            eprintln!("SKIPPED: `ffmpeg` has no encoder {encoder}");
            return None;
        }
    }
    let output = command
        .args(["-f", "lavfi", "-i", input])
        .args(output)
        .args(["-video_track_timescale", "90000", "-use_editlist", "0"])
        .args([
            "-movflags",
            "+frag_keyframe+delay_moov+default_base_moof",
            "-strict",
            "experimental",
            "-f",
            "mp4",
            "-",
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(read(&output.stdout))
}

/// The bytes of a configuration box, which is only searched for.
fn record(header: &[u8], kind: &[u8; 4]) -> Option<Bytes> {
    let at = header.windows(4).position(|four| four == kind)?;
    let len = u32::from_be_bytes(header[at - 4..at].try_into().unwrap()) as usize;
    Some(Bytes::copy_from_slice(&header[at + 4..at - 4 + len]))
}

fn read(file: &[u8]) -> Media {
    let (header, rest) = split(file);
    let scale = fmp4::timescale(header);
    let config = config(header, scale as u32);
    let mut packets = vec![];
    for chunk in fmp4::chunks(rest) {
        for sample in chunk.samples {
            let ticks = |units: i64| MediaTime::from_ticks((units * 90_000 + scale / 2).div_euclid(scale));
            let data = Bytes::from(sample.data.clone());
            let (kind, data) = match &config {
                Config::Audio(_) => (TrackKind::Audio, data),
                Config::Video(config) => (TrackKind::Video, normalised(config, &data)),
            };
            packets.push(Packet {
                track: TrackId(0),
                kind,
                pts: ticks(sample.pts()),
                dts: ticks(sample.decode),
                keyframe: sample.key,
                data,
            });
        }
    }
    Media { config, packets }
}

fn normalised(config: &VideoConfig, data: &Bytes) -> Bytes {
    match config {
        VideoConfig::H264(_) => h264::normalise(data, 4).data,
        VideoConfig::Other(other) if other.codec == VideoCodec::Hevc => hevc::normalise(data, 4).data,
        VideoConfig::Other(other) if other.codec == VideoCodec::Av1 => av1::normalise(data, None).data,
        VideoConfig::Other(_) => data.clone(),
    }
}

/// `ftyp` and `moov`, and the fragments without what stands behind the last.
fn split(file: &[u8]) -> (&[u8], &[u8]) {
    let (mut at, mut header, mut end) = (0, 0, 0);
    while at < file.len() {
        let mut cursor = &file[at..];
        let before = cursor.len();
        let head = Header::decode(&mut cursor).unwrap();
        at += before - cursor.len() + head.size.unwrap();
        match &head.kind.to_string()[..] {
            "moov" => header = at,
            "mdat" => end = at,
            _ => {}
        }
    }
    (&file[..header], &file[header..end])
}

fn config(header: &[u8], rate: u32) -> Config {
    let video = |codec, kind: &[u8; 4]| {
        let extradata = record(header, kind)?;
        let (width, height, bit_depth) = (320, 180, 8);
        let other = OtherVideo { codec, extradata, width, height, bit_depth, frame_rate: None, color: None };
        Some(Config::Video(Arc::new(VideoConfig::Other(other))))
    };
    let audio = |codec, extradata, sample_rate| {
        let other = OtherAudio { codec, extradata, sample_rate, channels: 2 };
        Config::Audio(Arc::new(AudioConfig::Other(other)))
    };
    if let Some(avcc) = record(header, b"avcC") {
        let record = h264::Record::parse(&avcc).unwrap();
        let config = h264::Config::from_units(record.sps_units, record.pps_units).unwrap();
        return Config::Video(Arc::new(VideoConfig::H264(config)));
    }
    if let Some(config) = video(VideoCodec::Hevc, b"hvcC").or_else(|| video(VideoCodec::Av1, b"av1C")) {
        return config;
    }
    if let Some(flac) = record(header, b"dfLa") {
        return audio(AudioCodec::Flac, flac.slice(8..), rate);
    }
    if record(header, b"dOps").is_some() {
        return audio(AudioCodec::Opus, media::opus::Head::plain(2).bytes, 48_000);
    }
    let esds = record(header, b"esds").expect("a configuration");
    match specific(&esds) {
        Some(asc) => Config::Audio(Arc::new(AudioConfig::Aac(aac::Config::parse(asc).unwrap()))),
        None => audio(AudioCodec::Mp3, Bytes::new(), rate),
    }
}

/// The AudioSpecificConfig in an `esds`: descriptor 5, behind a length of four bytes.
fn specific(esds: &[u8]) -> Option<&[u8]> {
    let at = esds.windows(4).position(|four| four == [5, 0x80, 0x80, 0x80])?;
    esds.get(at + 5..at + 5 + usize::from(esds[at + 4]))
}

/// Decodes a file; returns the times of the frames that came out, in microseconds. Any message is a failure.
#[track_caller]
pub fn decode(path: &Path) -> Vec<i64> {
    let Some(mut command) = ffmpeg() else { return vec![] };
    let output = command
        .args(["-xerror", "-copyts", "-i"])
        .arg(path)
        .args(["-map", "0", "-fps_mode", "passthrough", "-enc_time_base", "1:1000000"])
        .args(["-f", "framehash", "-hash", "adler32", "-"])
        .output()
        .unwrap();
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && messages.is_empty(), "{}: {messages}", path.display());
    let text = String::from_utf8_lossy(&output.stdout);
    let frames = text.lines().filter(|line| line.starts_with("0,"));
    frames.map(|line| line.split(',').nth(2).unwrap().trim().parse().unwrap()).collect()
}

/// PTS and DTS of all packets of a file, in its timescale.
#[track_caller]
pub fn packets(path: &Path) -> Vec<(i64, i64)> {
    let output = Command::new("ffprobe")
        .args(["-v", "warning", "-show_entries", "packet=pts,dts", "-of", "csv=p=0"])
        .arg(path)
        .output()
        .unwrap();
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && messages.is_empty(), "{}: {messages}", path.display());
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .map(|line| {
            let mut numbers = line.split(',').map(|number| number.trim().parse().unwrap());
            (numbers.next().unwrap(), numbers.next().unwrap())
        })
        .collect()
}

/// Codec name and CODECS-relevant facts that `ffprobe` reads from a file's header.
pub fn stream(path: &Path, entries: &str) -> String {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", &format!("stream={entries}"), "-of", "csv=p=0"])
        .arg(path)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// What `span` is in a timescale.
pub fn units(at: MediaTime, scale: i64) -> i64 {
    let ticks = (at + MediaSpan::from_millis(10_000)).ticks();
    (ticks * scale + 45_000).div_euclid(90_000)
}
