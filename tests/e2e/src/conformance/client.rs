//! Clients and transports, and how each client is told to publish a file.

use super::Arena;
use super::sample::Sample;
use std::ffi::OsString;
use std::process::Command;

/// Who publishes or plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// The FFmpeg of the system.
    Ffmpeg,
    /// The static build of `requirements.txt`: newer, with RTMPE and Enhanced RTMP.
    FfmpegStatic,
    /// GStreamer's sink that publishes with librtmp.
    Rtmpsink,
    /// GStreamer's own RTMP.
    Rtmp2sink,
    /// librtmp's player.
    Rtmpdump,
    /// OBS Studio under a virtual display.
    Obs,
    /// These tests' own sender, for what no encoder sends on request.
    Feeder,
}

impl Client {
    /// As the table has it.
    pub fn name(self) -> &'static str {
        match self {
            Client::Ffmpeg | Client::FfmpegStatic => "FFmpeg",
            Client::Rtmpsink => "GStreamer rtmpsink",
            Client::Rtmp2sink => "GStreamer rtmp2sink",
            Client::Rtmpdump => "rtmpdump",
            Client::Obs => "OBS",
            Client::Feeder => "own sender",
        }
    }
}

/// What carries the stream: all of them at the gateway's one RTMP port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Rtmp,
    /// TLS.
    Rtmps,
    /// HTTP.
    Rtmpt,
    /// HTTPS.
    Rtmpts,
    /// RC4.
    Rtmpe,
    /// RC4 inside HTTP.
    Rtmpte,
}

impl Transport {
    /// Of the URL.
    pub fn scheme(self) -> &'static str {
        match self {
            Transport::Rtmp => "rtmp",
            Transport::Rtmps => "rtmps",
            Transport::Rtmpt => "rtmpt",
            Transport::Rtmpts => "rtmpts",
            Transport::Rtmpe => "rtmpe",
            Transport::Rtmpte => "rtmpte",
        }
    }
}

/// FFmpeg 9 verifies certificates, and inside HTTP it cannot be told not to: it trusts the gateway's own one.
pub(super) fn trust(arena: &Arena, client: Client, command: &mut Command) {
    if client == Client::FfmpegStatic {
        command.env("SSL_CERT_FILE", arena.home.path("data/tls/self-signed.pem"));
    }
}

/// The command with which a client publishes these samples to the URL, at their own pace and as they are coded.
/// `options` are FFmpeg's, behind its inputs.
pub(super) fn publish(
    arena: &Arena,
    client: Client,
    samples: &[&Sample],
    options: &[String],
    url: &str,
) -> Command {
    match client {
        Client::Ffmpeg | Client::FfmpegStatic => {
            let mut command = Command::new(arena.program(client));
            command.args(["-v", "info", "-nostats", "-nostdin"]);
            for sample in samples {
                command.arg("-re").arg("-i").arg(&sample.path);
            }
            command.args(["-c", "copy"]).args(options);
            trust(arena, client, &mut command);
            command.args(["-f", "flv", url]);
            command
        }
        Client::Rtmpsink | Client::Rtmp2sink => {
            let mut command = Command::new("gst-launch-1.0");
            let path = samples.first().map(|s| s.path.as_os_str().to_owned()).unwrap_or_default();
            let mut location = OsString::from("location=");
            location.push(path);
            command.args(["-e", "-q", "filesrc"]).arg(location);
            // FLV's times are milliseconds, and this muxer's are too: nothing is rounded twice.
            let mux = "! flvdemux name=d flvmux streamable=true name=m d.video ! queue ! h264parse ! m. \
                       d.audio ! queue ! aacparse ! m. m. !";
            command.args(mux.split_whitespace());
            if client == Client::Rtmpsink {
                command.arg("rtmpsink");
            } else {
                command.args(["rtmp2sink", "tls-validation-flags=0"]);
            }
            command.arg(format!("location={url}"));
            command
        }
        Client::Rtmpdump | Client::Obs | Client::Feeder => {
            unreachable!("{} is not started this way", client.name())
        }
    }
}
