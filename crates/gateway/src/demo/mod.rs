//! `sluice demo`: publishes a moving test picture with a clock and a tone over real RTMP, without an encoder program.
//!
//! ```text
//!  thread "demo": draw ─▶ H264Encoder ─┐                         ┌─▶ rtmp::client::Publisher ─▶ TCP
//!                 tone ─▶ AacEncoder ──┴▶ channel (bounded) ─────┘    (a full channel drops frames: it stays live)
//! ```

mod picture;

use std::{
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, bail};
use bytes::BytesMut;
use media::{AudioConfig, FrameRate, MediaSpan, MediaTime, Packet, StreamName, VideoConfig};
use rtmp::{
    Metadata,
    client::{Event, Publisher, Target},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
};
use transcode::{
    encode::{AacEncoder, H264Encoder, Planes, VideoSettings},
    ladder::Preset,
};

use crate::{cli::DemoFlags, config::units::parse_rate, store::Store};
use picture::Picture;

/// The stream that a demo without an address publishes.
const DEMO_STREAM: &str = "demo";
const SAMPLE_RATE: u32 = 48_000;
const AUDIO_BPS: u32 = 128_000;
/// Packets between the encoders and the socket: about two seconds.
const QUEUE: usize = 160;
/// How long the gateway may take to accept the publication.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is drawn and how it is coded.
#[derive(Clone, Copy)]
struct Programme {
    width: u32,
    height: u32,
    fps: u32,
    gop_seconds: u32,
    bitrate_bps: u32,
}

/// What the encoder thread hands over.
enum Made {
    Configs(VideoConfig, AudioConfig),
    Packet(Packet),
    Failed(String),
}

/// Publishes until interrupted, or for the time asked for.
///
/// # Errors
/// When a flag is wrong, the gateway cannot be reached or refuses, or an encoder fails.
pub(crate) fn run(flags: &DemoFlags) -> anyhow::Result<ExitCode> {
    let programme = programme(flags)?;
    let url = match &flags.url {
        Some(url) => url.clone(),
        None => {
            let config = flags.data.load(&[])?;
            let name: StreamName = DEMO_STREAM.parse()?;
            let key = Store::open(&config.data_dir)?.add_key(&name)?;
            println!("Publishing the stream \"{name}\" to {}: watch it at /watch/{name}", flags.server);
            format!("rtmp://{}/live/{key}", flags.server)
        }
    };
    let target = Target::parse(&url)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("no async runtime")?;
    runtime.block_on(publish(target, programme, flags.seconds.map(Duration::from_secs)))?;
    Ok(ExitCode::SUCCESS)
}

fn programme(flags: &DemoFlags) -> anyhow::Result<Programme> {
    let size = flags
        .size
        .split_once('x')
        .and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    let Some((width, height)) = size else { bail!("--size is written like 1280x720, not {:?}", flags.size) };
    if !(320..=3840).contains(&width) || !(180..=2160).contains(&height) || width % 2 == 1 || height % 2 == 1
    {
        bail!("--size must be even and from 320x180 to 3840x2160, not {width}x{height}");
    }
    let bitrate_bps = parse_rate(&flags.bitrate).map_err(anyhow::Error::msg).context("--bitrate")?;
    let bitrate_bps = u32::try_from(bitrate_bps).context("--bitrate")?;
    Ok(Programme { width, height, fps: flags.fps, gop_seconds: flags.keyframe_interval, bitrate_bps })
}

async fn publish(target: Target, programme: Programme, length: Option<Duration>) -> anyhow::Result<()> {
    let host = address(&target);
    let socket = TcpStream::connect(&host)
        .await
        .with_context(|| format!("no gateway answers at {host}; is it running?"))?;
    socket.set_nodelay(true).context("TCP_NODELAY")?;
    let (mut reader, mut writer) = socket.into_split();
    let mut publisher = Publisher::new(Instant::now(), target);
    let mut inbox = BytesMut::with_capacity(4096);
    let mut made: Option<mpsc::Receiver<Made>> = None;
    let patience = tokio::time::sleep(PATIENCE);
    tokio::pin!(patience);
    let end = async {
        match length {
            Some(length) => tokio::time::sleep(length).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(end);
    'live: loop {
        while let Some(event) = publisher.poll_event() {
            match event {
                Event::Ready => {
                    println!("Live. Ctrl-C stops it.");
                    publisher.send_metadata(&metadata(programme));
                    made = Some(start_encoding(programme)?);
                }
                Event::Refused { code, description } => bail!("the gateway refuses: {description} ({code})"),
                Event::Closed => bail!("the gateway closed the stream"),
                Event::ReconnectRequested => {
                    println!("The gateway is about to stop.");
                    break 'live;
                }
            }
        }
        writer
            .write_all(&publisher.take_outbound())
            .await
            .context("the connection to the gateway is lost")?;
        inbox.clear();
        tokio::select! {
            read = reader.read_buf(&mut inbox) => match read.context("the connection to the gateway is lost")? {
                0 => bail!("the gateway closed the connection"),
                _ => publisher.feed(Instant::now(), &inbox)?,
            },
            item = next(&mut made) => match item {
                Some(Made::Configs(video, audio)) => {
                    publisher.send_video_config(&Arc::new(video));
                    publisher.send_audio_config(&Arc::new(audio));
                }
                Some(Made::Packet(packet)) => publisher.send_packet(&packet),
                Some(Made::Failed(cause)) => bail!("the demo's encoder failed: {cause}"),
                None => bail!("the demo's encoder ended"),
            },
            () = &mut patience, if made.is_none() => bail!("the gateway did not answer within {} s", PATIENCE.as_secs()),
            () = &mut end => break,
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    publisher.finish();
    writer.write_all(&publisher.take_outbound()).await.context("the connection to the gateway is lost")?;
    writer.shutdown().await.context("the connection to the gateway is lost")?;
    println!("Stopped.");
    Ok(())
}

/// `host:port` of the server.
fn address(target: &Target) -> String {
    let has_port = target.authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if has_port { target.authority.clone() } else { format!("{}:1935", target.authority) }
}

async fn next(made: &mut Option<mpsc::Receiver<Made>>) -> Option<Made> {
    match made {
        Some(made) => made.recv().await,
        None => std::future::pending().await,
    }
}

fn metadata(programme: Programme) -> Metadata {
    Metadata {
        width: Some(programme.width),
        height: Some(programme.height),
        frame_rate: Some(f64::from(programme.fps)),
        video_bps: Some(programme.bitrate_bps),
        audio_bps: Some(AUDIO_BPS),
        audio_sample_rate: Some(SAMPLE_RATE),
        audio_channels: Some(2),
        encoder: Some(concat!("sluice demo ", env!("CARGO_PKG_VERSION")).to_owned()),
        ..Metadata::default()
    }
}

fn start_encoding(programme: Programme) -> anyhow::Result<mpsc::Receiver<Made>> {
    let (outbox, made) = mpsc::channel(QUEUE);
    std::thread::Builder::new()
        .name("demo".to_owned())
        .spawn(move || {
            if let Err(error) = encode(programme, &outbox) {
                // Whoever listened may be gone; then nobody needs the reason.
                let _ = outbox.blocking_send(Made::Failed(format!("{error:#}")));
            }
        })
        .context("no thread for the demo's encoders")?;
    Ok(made)
}

/// Draws and encodes at the pace of the wall clock, until the channel closes.
fn encode(programme: Programme, outbox: &mpsc::Sender<Made>) -> anyhow::Result<()> {
    let frame_rate = FrameRate::new(programme.fps, 1).context("frame rate")?;
    let mut video = H264Encoder::open(&VideoSettings {
        width: programme.width,
        height: programme.height,
        frame_rate,
        bitrate_bps: programme.bitrate_bps,
        gop: programme.fps * programme.gop_seconds,
        preset: Preset::Superfast,
    })?;
    let mut audio = AacEncoder::open(SAMPLE_RATE, 2, AUDIO_BPS, MediaTime::ZERO)?;
    if outbox.blocking_send(Made::Configs(video.config().clone(), audio.config().clone())).is_err() {
        return Ok(());
    }
    let mut picture = Picture::new(programme.width as usize, programme.height as usize);
    let begun = Instant::now();
    let mut samples_sent = 0u64;
    for index in 0.. {
        let pts = MediaSpan::from_samples(index, programme.fps);
        let due = begun + pts.to_duration();
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
        picture.draw(index, u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
        let planes = Planes { data: picture.planes(), stride: picture.strides() };
        let mut packets = video.encode(planes, MediaTime::ZERO + pts)?;
        let samples_due = (index + 1) * u64::from(SAMPLE_RATE) / u64::from(programme.fps);
        let sound = tone(samples_sent, samples_due);
        samples_sent = samples_due;
        packets.extend(audio.encode(&[&sound, &sound])?);
        packets.sort_by_key(|packet| packet.dts);
        for packet in packets {
            if outbox.blocking_send(Made::Packet(packet)).is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// A quiet 440 Hz tone, with a higher beep in the first tenth of each second.
fn tone(from: u64, to: u64) -> Vec<f32> {
    let sample = |at: u64| {
        let beep = at % u64::from(SAMPLE_RATE) < u64::from(SAMPLE_RATE) / 10;
        let (pitch, level) = if beep { (1000.0, 0.2) } else { (440.0, 0.05) };
        // Whole seconds hold whole periods of both pitches, so the phase may restart with each second.
        let seconds = (at % u64::from(SAMPLE_RATE)) as f32 / SAMPLE_RATE as f32;
        (seconds * pitch * std::f32::consts::TAU).sin() * level
    };
    (from..to).map(sample).collect()
}
