//! The table of every setting.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use axum::http::Uri;
use ingest::{AddressList, BadAddress, BadTransport, Places, SecretText, Transports};
use transcode::Sandbox;

use super::{
    Captions, Fault,
    access::{self, Viewers},
    limits,
    recording::{self, Recording},
    streams::StreamRule,
    units::{parse_rate, parse_size, parse_span, show_rate, show_size, show_span},
};
use crate::{
    desk::{rules::Rule, webhook},
    governor::Admission,
};
use transcode::ladder::{EncoderName, Preset};

/// `SLUICE_…` variables that are not settings.
pub(super) const OTHER_VARIABLES: &[&str] =
    &["SLUICE_CONFIG", "SLUICE_BIN", "SLUICE_READY_FILE", OBEY_FAULT_MARKS];

/// Set by tests of broken media: encoder processes do what marks in the packets say, such as crash.
pub(crate) const OBEY_FAULT_MARKS: &str = "SLUICE_OBEY_FAULT_MARKS";

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What happens to live streams when the process is told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnShutdown {
    /// Playlists stay open; a restart within the hold time continues them.
    Hold,
    /// Playlists end.
    End,
}

/// Who is asked for user and password when it connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UserAuth {
    /// Who offers it, or could publish in no other way.
    Auto,
    /// Every encoder; nobody publishes without.
    Always,
    /// Nobody; what is offered is not looked at.
    Off,
}

/// Who may play over RTMP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PlayAccess {
    /// Who knows a stream's public name, as over HLS.
    Public,
    /// Who could publish it.
    Key,
    /// Nobody.
    Off,
}

/// Process settings, all with sane defaults. `deploy/sluice.example.toml` tells what each means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    pub rtmp_listen: Vec<SocketAddr>,
    pub rtmp_transports: Transports,
    pub rtmp_places: Places,
    /// Bits a second; 0 is no limit.
    pub rtmp_max_bitrate: u64,
    /// Bytes a second; 0 is no limit.
    pub rtmp_min_rate: u64,
    pub rtmp_media_timeout: Duration,
    pub tls_certificate: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    pub tls_self_signed: bool,
    pub tls_names: Vec<String>,
    pub acme_domains: Vec<String>,
    pub acme_contact: String,
    pub acme_directory: String,
    pub http_listen: SocketAddr,
    /// Who may watch, of `[http]` and `[play]`.
    pub viewers: Viewers,
    pub https_listen: Option<SocketAddr>,
    pub data_dir: PathBuf,
    pub hold: Duration,
    pub takeover: bool,
    pub show_address: bool,
    pub publish_url: Option<String>,
    pub publish_allow: AddressList,
    pub publish_deny: AddressList,
    /// `[[publish.rule]]`, from the file alone.
    pub rules: Vec<Rule>,
    pub webhooks: webhook::Settings,
    /// `[limits]`, with `rtmp.media_timeout` apart.
    pub limits: rtmp::limits::Limits,
    pub timeouts: rtmp::limits::Timeouts,
    pub stall: Duration,
    pub keep_ended: Duration,
    pub segment: Duration,
    pub longest_segment: Duration,
    pub captions: Captions,
    pub window: Duration,
    pub pictures: Duration,
    pub min_segments: usize,
    pub low_latency: bool,
    pub part: Duration,
    pub ladder: bool,
    pub rungs: Vec<(u32, u64)>,
    pub preset: Preset,
    pub worker_memory: u64,
    pub fill_sound: bool,
    pub fill_picture: bool,
    pub audio_only: bool,
    pub sandbox: Sandbox,
    pub latency_ceiling: Duration,
    /// Per cent.
    pub cpu_budget: usize,
    pub admission: Admission,
    pub recording: Recording,
    pub admin_token: SecretText,
    pub log_filter: String,
    pub log_format: LogFormat,
    pub user_auth: UserAuth,
    pub user_app: String,
    pub play_access: PlayAccess,
    pub drain: Duration,
    pub grace: Duration,
    pub on_shutdown: OnShutdown,
    /// What encodes the picture; `None` leaves the choice to us.
    pub encoder: Option<EncoderName>,
    /// `[[stream]]`, from the file alone.
    pub streams: Vec<StreamRule>,
    /// Bits a second of encoded sound.
    pub audio_bitrate: u64,
    /// Encoders that were tried and do not work; libx264 stands in. No setting: found out at the start.
    pub broken_encoders: Vec<EncoderName>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            rtmp_listen: vec![SocketAddr::from(([0, 0, 0, 0], 1935))],
            rtmp_transports: Transports::default(),
            rtmp_places: Places::default(),
            rtmp_max_bitrate: 100_000_000,
            rtmp_min_rate: 1024,
            rtmp_media_timeout: Duration::from_secs(30),
            tls_certificate: None,
            tls_key: None,
            tls_self_signed: true,
            tls_names: Vec::new(),
            acme_domains: Vec::new(),
            acme_contact: String::new(),
            acme_directory: "https://acme-v02.api.letsencrypt.org/directory".to_owned(),
            http_listen: SocketAddr::from(([0, 0, 0, 0], 8080)),
            viewers: Viewers::default(),
            https_listen: None,
            data_dir: PathBuf::from("data"),
            hold: Duration::from_secs(30),
            takeover: true,
            show_address: false,
            publish_url: None,
            publish_allow: AddressList::default(),
            publish_deny: AddressList::default(),
            rules: Vec::new(),
            webhooks: webhook::Settings::default(),
            limits: rtmp::limits::Limits::default(),
            timeouts: rtmp::limits::Timeouts::default(),
            stall: Duration::from_secs(10),
            keep_ended: Duration::from_secs(120),
            segment: Duration::from_secs(2),
            longest_segment: Duration::from_secs(4),
            captions: Captions::Auto,
            window: Duration::from_secs(120),
            pictures: Duration::from_secs(5),
            min_segments: 6,
            low_latency: false,
            part: Duration::from_millis(500),
            ladder: true,
            rungs: Vec::new(),
            preset: Preset::Auto,
            worker_memory: 2 << 30,
            fill_sound: true,
            fill_picture: false,
            audio_only: false,
            sandbox: Sandbox::Auto,
            latency_ceiling: Duration::from_secs(4),
            cpu_budget: 90,
            admission: Admission::Measured,
            recording: Recording::default(),
            admin_token: SecretText::default(),
            log_filter: "info".to_owned(),
            log_format: LogFormat::Text,
            user_auth: UserAuth::Auto,
            user_app: "auth".to_owned(),
            play_access: PlayAccess::Public,
            drain: Duration::from_secs(3),
            grace: Duration::from_secs(10),
            on_shutdown: OnShutdown::Hold,
            encoder: None,
            streams: Vec::new(),
            audio_bitrate: 128_000,
            broken_encoders: Vec::new(),
        }
    }
}

impl Config {
    /// As it is for one stream: with the first of its own tables.
    pub(crate) fn of_stream(&self, name: &str) -> Self {
        let own = self.streams.iter().find(|rule| rule.name.matches(name));
        own.map_or_else(|| self.clone(), |rule| rule.apply(self))
    }
}

/// One setting: its name in the file, its meaning, and how it is read and written as text.
pub(crate) struct Setting {
    /// `section.key`.
    pub key: &'static str,
    /// For the example file.
    pub help: &'static str,
    pub(super) get: fn(&Config) -> String,
    pub(super) set: fn(&mut Config, &str) -> Result<(), String>,
}

impl Setting {
    /// `SLUICE_SECTION_KEY`.
    pub(crate) fn variable(&self) -> String {
        format!("SLUICE_{}", self.key.replace('.', "_").to_uppercase())
    }
}

/// Every setting, in the order of the example file.
pub(crate) const SETTINGS: &[Setting] = &[
    Setting {
        key: "rtmp.listen",
        help: "Where encoders connect, with every transport on every address. Some want others besides the usual\n\
               one: [\"0.0.0.0:1935\", \"0.0.0.0:443\", \"0.0.0.0:80\"] (443 for rtmps://, 80 for rtmpt:// without a port).",
        get: |c| c.rtmp_listen.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(","),
        set: |c, v| {
            let listed: Vec<_> = read_list(v).iter().map(|v| read_address(v)).collect::<Result<_, _>>()?;
            if listed.is_empty() {
                return Err("at least one address is needed".to_owned());
            }
            c.rtmp_listen = listed;
            Ok(())
        },
    },
    Setting {
        key: "rtmp.transports",
        help: "What is offered. rtmps and rtmpts protect the key and the stream; rtmpe and rtmpte hide them from\n\
               nobody who tries, and are for encoders that know nothing better.",
        get: |c| c.rtmp_transports.to_string(),
        set: |c, v| v.parse().map(|v| c.rtmp_transports = v).map_err(|bad: BadTransport| bad.to_string()),
    },
    Setting {
        key: "rtmp.max_connections",
        help: "RTMP connections at once, publishing or not.",
        get: |c| c.rtmp_places.total.to_string(),
        set: |c, v| read_count(v, 1, 1_000_000).map(|v| c.rtmp_places.total = v),
    },
    Setting {
        key: "rtmp.max_unauthenticated",
        help: "Of those, connections at once that have not been let in as publishers. The rest is theirs who have.",
        get: |c| c.rtmp_places.unproven.to_string(),
        set: |c, v| read_count(v, 1, 1_000_000).map(|v| c.rtmp_places.unproven = v),
    },
    Setting {
        key: "rtmp.max_per_address",
        help: "The same from one address, or one IPv6 network of 64 bits.",
        get: |c| c.rtmp_places.unproven_per_address.to_string(),
        set: |c, v| read_count(v, 1, 1_000_000).map(|v| c.rtmp_places.unproven_per_address = v),
    },
    Setting {
        key: "rtmp.accepts_per_address",
        help: "New connections a second from one address; ten times as many at once after a quiet time.",
        get: |c| c.rtmp_places.per_second.to_string(),
        set: |c, v| read_count(v, 1, 1_000_000).map(|v| c.rtmp_places.per_second = v as u32),
    },
    Setting {
        key: "rtmp.rtmpe_per_address",
        help: "RTMPE handshakes a second from one address, each of which costs some computing; likewise.",
        get: |c| c.rtmp_places.rtmpe_per_second.to_string(),
        set: |c, v| read_count(v, 1, 1_000_000).map(|v| c.rtmp_places.rtmpe_per_second = v as u32),
    },
    Setting {
        key: "rtmp.max_bitrate",
        help: "A publisher that sends faster is slowed down by reading it less often. 0: no limit.",
        get: |c| show_rate(c.rtmp_max_bitrate),
        set: |c, v| match v.trim() {
            "0" => {
                c.rtmp_max_bitrate = 0;
                Ok(())
            }
            v => parse_rate(v).map(|v| c.rtmp_max_bitrate = v),
        },
    },
    Setting {
        key: "rtmp.min_rate",
        help: "Bytes a second; a publisher that sends a message more slowly than this for 10 s is closed. 0: no limit.",
        get: |c| show_size(c.rtmp_min_rate),
        set: |c, v| parse_size(v).map(|v| c.rtmp_min_rate = v),
    },
    Setting {
        key: "rtmp.media_timeout",
        help: "A publisher that sends no picture and no sound for this long is closed.",
        get: |c| show_span(c.rtmp_media_timeout),
        set: |c, v| read_span(v, 2, 3600).map(|v| c.rtmp_media_timeout = v),
    },
    Setting {
        key: "tls.certificate",
        help: "Certificate chain for rtmps://, rtmpts:// and https://, PEM, the server's own first; needs tls.key. Both files are\n\
               read again when they change, or on SIGHUP.",
        get: |c| show_path(c.tls_certificate.as_deref()),
        set: |c, v| {
            c.tls_certificate = read_path(v);
            Ok(())
        },
    },
    Setting {
        key: "tls.key",
        help: "Its private key, PEM.",
        get: |c| show_path(c.tls_key.as_deref()),
        set: |c, v| {
            c.tls_key = read_path(v);
            Ok(())
        },
    },
    Setting {
        key: "tls.self_signed",
        help: "Without another certificate, make one in data.dir/tls to try things out. OBS and browsers do not accept it.",
        get: |c| c.tls_self_signed.to_string(),
        set: |c, v| read_flag(v).map(|v| c.tls_self_signed = v),
    },
    Setting {
        key: "tls.names",
        help: "Names and addresses that it is made for, besides localhost and this machine's name.",
        get: |c| c.tls_names.join(","),
        set: |c, v| {
            c.tls_names = read_list(v);
            Ok(())
        },
    },
    Setting {
        key: "tls.acme_domains",
        help: "Names for which a certificate is got from an ACME authority such as Let's Encrypt. It looks for this\n\
               gateway on port 443 of each: http.tls_listen or rtmp.listen must have it. Who names some accepts the authority's terms.",
        get: |c| c.acme_domains.join(","),
        set: |c, v| {
            c.acme_domains = read_list(v);
            Ok(())
        },
    },
    Setting {
        key: "tls.acme_contact",
        help: "A mail address that the authority may write to.",
        get: |c| c.acme_contact.clone(),
        set: |c, v| {
            c.acme_contact = v.trim().to_owned();
            Ok(())
        },
    },
    Setting {
        key: "tls.acme_directory",
        help: "The authority.",
        get: |c| c.acme_directory.clone(),
        set: |c, v| {
            if v.starts_with("https://") {
                c.acme_directory = v.to_owned();
                Ok(())
            } else {
                Err(format!("{v:?} is not an https:// address"))
            }
        },
    },
    Setting {
        key: "http.listen",
        help: "Where viewers, the API and metrics connect.",
        get: |c| c.http_listen.to_string(),
        set: |c, v| read_address(v).map(|v| c.http_listen = v),
    },
    access::TRUSTED_PROXIES,
    access::ALLOWED_ORIGINS,
    Setting {
        key: "http.tls_listen",
        help: "The same over TLS, with the certificate of [tls]: browsers and Apple's players speak HTTP/2 here alone. Such as\n\
               \"0.0.0.0:443\" or \"0.0.0.0:8443\". Empty: not offered.",
        get: |c| c.https_listen.map(|address| address.to_string()).unwrap_or_default(),
        set: |c, v| match v.trim() {
            "" => {
                c.https_listen = None;
                Ok(())
            }
            v => read_address(v).map(|v| c.https_listen = Some(v)),
        },
    },
    Setting {
        key: "data.dir",
        help: "Where streams and keys are kept (SQLite). Made if missing.",
        get: |c| c.data_dir.display().to_string(),
        set: |c, v| {
            let some = (!v.trim().is_empty()).then(|| PathBuf::from(v));
            some.ok_or_else(|| "a folder is expected".to_owned()).map(|v| c.data_dir = v)
        },
    },
    Setting {
        key: "publish.hold",
        help: "How long a stream waits for its publisher after the connection is lost. Viewers' playlists go on.",
        get: |c| show_span(c.hold),
        set: |c, v| read_span(v, 0, 3600).map(|v| c.hold = v),
    },
    Setting {
        key: "publish.takeover",
        help: "A second publisher that proves the key replaces the first; false refuses it.\n\
               After 4 takeovers within a minute nobody takes over for 30 s.",
        get: |c| c.takeover.to_string(),
        set: |c, v| read_flag(v).map(|v| c.takeover = v),
    },
    Setting {
        key: "publish.show_address",
        help: "Whether the API tells where publishers connect from. Everybody who can watch can read it.",
        get: |c| c.show_address.to_string(),
        set: |c, v| read_flag(v).map(|v| c.show_address = v),
    },
    Setting {
        key: "publish.url",
        help: "Where OBS is sent that asks for its multitrack configuration, such as rtmps://live.example.org/live.\n\
               Empty: the host that it asked, at the port of rtmp.listen.",
        get: |c| c.publish_url.clone().unwrap_or_default(),
        set: |c, v| match v.trim() {
            "" => {
                c.publish_url = None;
                Ok(())
            }
            url if url.starts_with("rtmp://") || url.starts_with("rtmps://") => {
                c.publish_url = Some(url.to_owned());
                Ok(())
            }
            _ => Err(format!("{v:?} is not an address: write it like \"rtmps://live.example.org/live\"")),
        },
    },
    Setting {
        key: "publish.allow",
        help: "Addresses and networks that alone may publish, such as [\"10.0.0.0/8\", \"2001:db8::/32\"]. Empty: all.",
        get: |c| c.publish_allow.to_string(),
        set: |c, v| read_addresses(v).map(|v| c.publish_allow = v),
    },
    Setting {
        key: "publish.deny",
        help: "Addresses and networks whose RTMP connections are closed at once.",
        get: |c| c.publish_deny.to_string(),
        set: |c, v| read_addresses(v).map(|v| c.publish_deny = v),
    },
    Setting {
        key: "publish.keep_ended",
        help: "How long the last segments of an ended stream stay to be watched.",
        get: |c| show_span(c.keep_ended),
        set: |c, v| read_span(v, 0, 86_400).map(|v| c.keep_ended = v),
    },
    Setting {
        key: "publish.user_auth",
        help: "Which encoders are asked for user and password (`sluice users`) when they connect. An encoder that has none fails\n\
               then. \"auto\": those that come to publish.user_app or append ?authmod=adobe or ?authmod=llnw to the server\n\
               address, and all where neither keys nor rules nor a webhook could let them in. \"always\": all, and nobody\n\
               publishes without. \"off\": none.",
        get: |c| {
            let name = match c.user_auth {
                UserAuth::Auto => "auto",
                UserAuth::Always => "always",
                UserAuth::Off => "off",
            };
            name.to_owned()
        },
        set: |c, v| {
            let choices = [("auto", UserAuth::Auto), ("always", UserAuth::Always), ("off", UserAuth::Off)];
            read_choice(v, &choices).map(|v| c.user_auth = v)
        },
    },
    Setting {
        key: "publish.user_app",
        help: "The application that asks for user and password, as in rtmp://USER:PASSWORD@HOST/auth/STREAM.",
        get: |c| c.user_app.clone(),
        set: |c, v| {
            c.user_app = v.trim().trim_matches('/').to_owned();
            Ok(())
        },
    },
    Setting {
        key: "play.access",
        help: "Who may play a live stream over RTMP, as it was published, from rtmp://HOST/live/NAME. \"public\": everybody, as\n\
               over HLS, with ?token=TOKEN where play.playback asks for one. \"key\": who could publish it, by key or as a user. \"off\": nobody.",
        get: |c| {
            let name = match c.play_access {
                PlayAccess::Public => "public",
                PlayAccess::Key => "key",
                PlayAccess::Off => "off",
            };
            name.to_owned()
        },
        set: |c, v| {
            let choices =
                [("public", PlayAccess::Public), ("key", PlayAccess::Key), ("off", PlayAccess::Off)];
            read_choice(v, &choices).map(|v| c.play_access = v)
        },
    },
    access::PLAYBACK,
    access::TOKEN_KEYS,
    Setting {
        key: "webhook.on_publish",
        help: "Asked before anybody publishes: an http or https address. docs/webhooks.md is the contract.\n\
               No answer within the timeout, or one that cannot be read, refuses the publisher.",
        get: |c| show_url(c.webhooks.on_publish.as_ref()),
        set: |c, v| read_url(v).map(|v| c.webhooks.on_publish = v),
    },
    Setting {
        key: "webhook.on_unpublish",
        help: "Told when somebody has published; tried again for some minutes.",
        get: |c| show_url(c.webhooks.on_unpublish.as_ref()),
        set: |c, v| read_url(v).map(|v| c.webhooks.on_unpublish = v),
    },
    Setting {
        key: "webhook.secret",
        help: "Signs webhooks (HMAC-SHA256); 16 characters or more. Best given as SLUICE_WEBHOOK_SECRET.",
        get: |c| c.webhooks.secret.expose().to_owned(),
        set: |c, v| match v.len() {
            0 | 16.. => {
                c.webhooks.secret = SecretText::new(v);
                Ok(())
            }
            _ => Err("16 characters or more are needed".to_owned()),
        },
    },
    Setting {
        key: "webhook.timeout",
        help: "How long a webhook may take to answer.",
        get: |c| show_span(c.webhooks.budget),
        set: |c, v| read_span(v, 1, 8).map(|v| c.webhooks.budget = v),
    },
    Setting {
        key: "webhook.queue",
        help: "Notifications that wait to be delivered; more are dropped.",
        get: |c| c.webhooks.queue.to_string(),
        set: |c, v| read_count(v, 1, 100_000).map(|v| c.webhooks.queue = v),
    },
    Setting {
        key: "log.filter",
        help: "What is logged: error, warn, info, debug, trace, or per module as in \"info,rtmp=debug\".",
        get: |c| c.log_filter.clone(),
        set: |c, v| match v.parse::<tracing_subscriber::EnvFilter>() {
            Ok(_) => {
                c.log_filter = v.to_owned();
                Ok(())
            }
            Err(error) => Err(format!("{v:?} is not a log filter: {error}")),
        },
    },
    Setting {
        key: "log.format",
        help: "\"text\" for people, \"json\" for collectors.",
        get: |c| if c.log_format == LogFormat::Text { "text".to_owned() } else { "json".to_owned() },
        set: |c, v| {
            read_choice(v, &[("text", LogFormat::Text), ("json", LogFormat::Json)]).map(|v| c.log_format = v)
        },
    },
    Setting {
        key: "shutdown.drain",
        help: "How long a shutdown waits at first for encoders that can reconnect to another server, and are asked to. Not\n\
               waited where there are none; part of shutdown.grace.",
        get: |c| show_span(c.drain),
        set: |c, v| read_span(v, 0, 600).map(|v| c.drain = v),
    },
    Setting {
        key: "shutdown.grace",
        help: "How long a shutdown may take: publishers are told, segments finished, encoders joined.",
        get: |c| show_span(c.grace),
        set: |c, v| read_span(v, 1, 600).map(|v| c.grace = v),
    },
    Setting {
        key: "shutdown.streams",
        help: "\"hold\": a restart within publish.hold continues the playlists. \"end\": playlists end with the process.",
        get: |c| if c.on_shutdown == OnShutdown::Hold { "hold".to_owned() } else { "end".to_owned() },
        set: |c, v| {
            read_choice(v, &[("hold", OnShutdown::Hold), ("end", OnShutdown::End)]).map(|v| c.on_shutdown = v)
        },
    },
];

/// Faults that only two settings together show.
pub(super) fn cross_check(config: &Config, faults: &mut Vec<Fault>) {
    let mut fault = |place: &str, what: String| faults.push(Fault { place: place.to_owned(), what });
    limits::cross_check(config, &mut fault);
    recording::cross_check(config, &mut fault);
    let webhooks = &config.webhooks;
    if webhooks.secret.is_empty() && (webhooks.on_publish.is_some() || webhooks.on_unpublish.is_some()) {
        fault("webhook.secret", "is needed to sign webhooks; 16 characters or more".to_owned());
    }
    if config.longest_segment < config.segment {
        let (longest, segment) = (show_span(config.longest_segment), show_span(config.segment));
        fault("hls.longest_segment", format!("{longest} is shorter than hls.segment, {segment}"));
    }
    if config.tls_certificate.is_some() != config.tls_key.is_some() {
        let (missing, given) = if config.tls_key.is_none() {
            ("tls.key", "tls.certificate")
        } else {
            ("tls.certificate", "tls.key")
        };
        fault(missing, format!("{given} is set, so this is needed, too"));
    }
    let no_certificate =
        config.tls_certificate.is_none() && config.acme_domains.is_empty() && !config.tls_self_signed;
    if config.https_listen.is_some() && no_certificate {
        let what = "needs a certificate: tls.certificate and tls.key, tls.acme_domains, or tls.self_signed";
        fault("http.tls_listen", what.to_owned());
    }
    if config.window < config.longest_segment * 3 {
        let (window, least) = (show_span(config.window), show_span(config.longest_segment * 3));
        fault(
            "hls.window",
            format!("{window} is shorter than three of hls.longest_segment, {least} (RFC 8216 §6.2.2)"),
        );
    }
}

pub(super) fn read_list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn read_path(text: &str) -> Option<PathBuf> {
    (!text.trim().is_empty()).then(|| PathBuf::from(text))
}

fn show_path(path: Option<&Path>) -> String {
    path.map(|path| path.display().to_string()).unwrap_or_default()
}

fn read_address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is not an address: write it like \"0.0.0.0:1935\" or \"[::]:1935\""))
}

pub(super) fn read_addresses(text: &str) -> Result<AddressList, String> {
    text.parse().map_err(|bad: BadAddress| bad.to_string())
}

/// No address is empty text.
fn read_url(text: &str) -> Result<Option<Uri>, String> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let bad = || format!("{text:?} is not an address: write it like \"https://example.org/hook\"");
    let url: Uri = text.trim().parse().map_err(|_| bad())?;
    let plain = url.authority().is_some_and(|authority| !authority.as_str().contains('@'));
    let spoken = matches!(url.scheme_str(), Some("http" | "https"));
    if plain && spoken { Ok(Some(url)) } else { Err(bad()) }
}

fn show_url(url: Option<&Uri>) -> String {
    url.map(Uri::to_string).unwrap_or_default()
}

pub(super) fn read_count(text: &str, least: usize, most: usize) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (least..=most).contains(&count) => Ok(count),
        _ => Err(format!("{text:?} is not a number from {least} to {most}")),
    }
}

pub(super) fn read_span(text: &str, least_s: u64, most_s: u64) -> Result<Duration, String> {
    let span = parse_span(text)?;
    if (Duration::from_secs(least_s)..=Duration::from_secs(most_s)).contains(&span) {
        Ok(span)
    } else {
        Err(format!("{text:?} is outside {least_s}s to {}", show_span(Duration::from_secs(most_s))))
    }
}

pub(super) fn read_flag(text: &str) -> Result<bool, String> {
    read_choice(text, &[("true", true), ("false", false)])
}

pub(super) fn read_choice<T: Clone>(text: &str, choices: &[(&str, T)]) -> Result<T, String> {
    let found = choices.iter().find(|(name, _)| *name == text.trim()).map(|(_, value)| value.clone());
    found.ok_or_else(|| {
        let names: Vec<_> = choices.iter().map(|(name, _)| format!("{name:?}")).collect();
        format!("{text:?} is not one of {}", names.join(", "))
    })
}
