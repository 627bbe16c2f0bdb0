//! The command line. `--help` is meant to be enough to go live.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, Faults, load};

/// Takes a live stream from OBS or any RTMP encoder, makes an adaptive ladder, and serves it as HLS.
#[derive(Debug, Parser)]
#[command(
    version,
    propagate_version = true,
    after_help = "Going live:\n  \
        sluice                                  start; the first start prints a stream key\n  \
        sluice demo                             publish a test picture to it, no encoder needed\n  \
        sluice keys add studio                  make another stream and its key\n\n\
        In OBS: Settings > Stream > Custom, Server rtmp://HOST/live, Stream Key as printed.\n\
        Watch:  http://HOST:8080/\n\n\
        Settings come from a file (--config), SLUICE_SECTION_KEY variables, and flags, in that order.\n\
        `sluice example-config` prints every setting with its default."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the gateway (what happens without a command)
    Serve(Box<ServeFlags>),
    /// Publish a moving test picture with a clock and a tone to a running gateway
    Demo(DemoFlags),
    /// Make, list and revoke stream keys; works while the gateway runs
    Keys {
        #[command(subcommand)]
        action: KeyAction,
        #[command(flatten)]
        data: DataFlags,
    },
    /// Make, list and remove users who publish by name and password; works while the gateway runs
    Users {
        #[command(subcommand)]
        action: UserAction,
        #[command(flatten)]
        data: DataFlags,
    },
    /// Make a link to a stream that needs one (play.playback = "signed"); works while the gateway runs
    Token(TokenFlags),
    /// List and remove recordings; works while the gateway runs
    Recordings {
        #[command(subcommand)]
        action: RecordingAction,
        #[command(flatten)]
        data: DataFlags,
    },
    /// Show which ladder a file or live stream gets, and why
    Ladder(LadderFlags),
    /// Check what this machine has: codecs, ports, data directory
    Doctor(ServeFlags),
    /// Ask the gateway on this machine whether it is ready; exit code 0 if so (for health checks)
    Ready(ServeFlags),
    /// Watch a live HLS, low-latency HLS or DASH URL, anyone's, and report every broken rule with its section
    Check(CheckFlags),
    /// Print every setting with its default, as a configuration file
    ExampleConfig,
    /// The encoder process of one stream; started by the gateway
    #[command(hide = true)]
    Worker {
        /// What it is to do beside; it reads this itself
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
}

/// Where settings come from, and those that are often given by hand.
#[derive(Debug, Default, Clone, Args)]
pub(crate) struct ServeFlags {
    /// Configuration file (TOML)
    #[arg(short, long, env = "SLUICE_CONFIG")]
    pub config: Option<PathBuf>,
    /// Where encoders connect, such as 0.0.0.0:1935; several with commas between them
    #[arg(long, value_name = "ADDRESS")]
    pub rtmp_listen: Option<String>,
    /// Where viewers connect, such as 0.0.0.0:8080
    #[arg(long, value_name = "ADDRESS")]
    pub http_listen: Option<String>,
    /// Where streams and keys are kept
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// Any setting by its name, such as hls.segment=4s; may be given several times
    #[arg(short, long = "set", value_name = "SETTING=VALUE")]
    pub set: Vec<String>,
    /// Write the addresses as JSON to this file once both ports listen
    #[arg(long, env = "SLUICE_READY_FILE", value_name = "FILE")]
    pub ready_file: Option<PathBuf>,
}

/// Where the keys are.
#[derive(Debug, Clone, Args)]
pub(crate) struct DataFlags {
    /// Configuration file (TOML)
    #[arg(short, long, env = "SLUICE_CONFIG", global = true)]
    pub config: Option<PathBuf>,
    /// Where streams and keys are kept
    #[arg(long, value_name = "DIR", global = true)]
    pub data_dir: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyAction {
    /// Make a key for a stream, and the stream with it; prints the key, which is not kept
    Add {
        /// The stream's public name, as in /watch/NAME
        name: String,
        /// A network or address that the key counts from, such as 10.0.0.0/8; may be given several times. Default: all
        #[arg(long = "from", value_name = "NETWORK")]
        from: Vec<String>,
        /// The application that the key counts for, the path of the server address. Default: all
        #[arg(long)]
        app: Option<String>,
    },
    /// List keys by number, without the keys themselves
    List,
    /// Revoke a key by its number; who publishes with it now is not cut off
    Revoke {
        /// The number that `sluice keys list` shows
        id: i64,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserAction {
    /// Make a user; prints the password that is made for it, which is not kept
    Add {
        /// The name, as entered in the encoder
        name: String,
        /// A stream that it may publish, by its public name; may be given several times
        #[arg(long = "stream", value_name = "STREAM", required = true)]
        streams: Vec<String>,
        /// Read the password from standard input, one line, in place of making one
        #[arg(long)]
        password_stdin: bool,
    },
    /// List users and their streams
    List,
    /// Remove a user; who publishes with it now is not cut off
    Remove {
        /// The name
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum RecordingAction {
    /// List recordings, the newest first
    List,
    /// Remove a recording for good
    Delete {
        /// Its name, as `sluice recordings list` shows it
        id: String,
    },
    /// Print where a recording is kept
    Path {
        /// Its name, as `sluice recordings list` shows it
        id: String,
    },
}

#[derive(Debug, Clone, Args)]
pub(crate) struct TokenFlags {
    /// The stream's public name, as in /watch/NAME
    pub name: String,
    /// How long it counts, such as 90m, 2h or 3600s
    #[arg(long, value_name = "TIME")]
    pub expires: String,
    /// The address or network that it counts from, such as 192.0.2.7 or 192.0.2.0/24. Default: all
    #[arg(long, value_name = "NETWORK", value_parser = network)]
    pub address: Option<ipnet::IpNet>,
    /// Whom it is for, in your words: its requests count as one viewer, wherever they come from
    #[arg(long)]
    pub viewer: Option<String>,
    /// NAME is the id of a recording
    #[arg(long)]
    pub recording: bool,
    #[command(flatten)]
    pub data: DataFlags,
}

fn network(text: &str) -> Result<ipnet::IpNet, String> {
    let address = text.parse::<std::net::IpAddr>().map(|address| address.to_canonical().into());
    address.or_else(|_| text.parse()).map_err(|_| "an address or a network is expected".to_owned())
}

#[derive(Debug, Clone, Args)]
pub(crate) struct DemoFlags {
    /// Where to publish: rtmp://HOST[:PORT]/APP/KEY. Default: this machine, with a key made for the stream "demo"
    pub url: Option<String>,
    /// Picture size
    #[arg(long, default_value = "1280x720", value_name = "WIDTHxHEIGHT")]
    pub size: String,
    /// Frames a second
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(5..=60))]
    pub fps: u32,
    /// Seconds from one keyframe to the next
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=10))]
    pub keyframe_interval: u32,
    /// Bit rate of the picture, such as 2500k
    #[arg(long, default_value = "2500k")]
    pub bitrate: String,
    /// Stop after so many seconds
    #[arg(long)]
    pub seconds: Option<u64>,
    /// Set if the gateway does not listen on the default port
    #[arg(long, default_value = "127.0.0.1:1935")]
    pub server: SocketAddr,
    #[command(flatten)]
    pub data: DataFlags,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct LadderFlags {
    /// A media file, a URL (rtmp://, http:// and what else FFmpeg reads), or the name of a stream that is live here
    pub input: String,
    /// Plan as for the stream of this name: with its [[stream]] settings
    #[arg(long, value_name = "NAME")]
    pub stream: Option<String>,
    /// In the process that looks
    #[arg(long, hide = true)]
    pub inside: bool,
    /// Print the plan as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub data: DataFlags,
    /// Any setting by its name, such as ladder.rungs=720:3000k,480:1400k
    #[arg(short, long = "set", value_name = "SETTING=VALUE")]
    pub set: Vec<String>,
}

#[derive(Debug, Clone, Args)]
#[command(after_help = "Exit code: 0 no rule is broken, 1 a rule is broken, 2 it could not be checked.")]
pub(crate) struct CheckFlags {
    /// A multivariant playlist, a media playlist or an MPD (http:// or https://)
    #[arg(required_unless_present = "rules")]
    pub url: Option<String>,
    /// How long to watch
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    pub seconds: u64,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
    /// Warnings fail too
    #[arg(long)]
    pub strict: bool,
    /// Look at this alone
    #[arg(long, value_enum)]
    pub only: Option<CheckOnly>,
    /// List the rules and stop
    #[arg(long)]
    pub rules: bool,
    /// Take any TLS certificate
    #[arg(long)]
    pub insecure: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum CheckOnly {
    /// HLS as players without low latency see it
    Hls,
    /// Low-latency HLS
    Ll,
    /// DASH
    Dash,
}

impl ServeFlags {
    /// The configuration that these flags, the environment and the file make.
    ///
    /// # Errors
    /// With every fault of all of them.
    pub(crate) fn load(&self) -> Result<Config, Faults> {
        let mut flags: Vec<(&str, String)> = Vec::new();
        for (key, value) in [
            ("rtmp.listen", &self.rtmp_listen),
            ("http.listen", &self.http_listen),
            ("data.dir", &self.data_dir),
        ] {
            flags.extend(value.clone().map(|value| (key, value)));
        }
        flags.extend(self.set.iter().map(|pair| split(pair)));
        load(self.config.as_deref(), std::env::vars(), &flags)
    }
}

impl DataFlags {
    /// The configuration that these flags, further settings, the environment and the file make.
    ///
    /// # Errors
    /// With every fault of all of them.
    pub(crate) fn load(&self, set: &[String]) -> Result<Config, Faults> {
        let mut flags: Vec<(&str, String)> =
            self.data_dir.clone().map(|dir| ("data.dir", dir)).into_iter().collect();
        flags.extend(set.iter().map(|pair| split(pair)));
        load(self.config.as_deref(), std::env::vars(), &flags)
    }
}

fn split(pair: &str) -> (&str, String) {
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    (key.trim(), value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_reach_the_configuration() {
        let flags = ServeFlags {
            rtmp_listen: Some("127.0.0.1:0".into()),
            set: vec!["hls.segment=4s".into()],
            ..ServeFlags::default()
        };
        let config = flags.load().unwrap();
        assert_eq!((config.rtmp_listen[0].port(), config.segment.as_secs()), (0, 4));
        assert!(ServeFlags { set: vec!["nonsense".into()], ..ServeFlags::default() }.load().is_err());
    }
}
