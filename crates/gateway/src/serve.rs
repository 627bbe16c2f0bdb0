//! `sluice serve`: binds the ports, wires ingest, streams and origin together, and takes them down again in order.
//!
//! Shutdown: not ready any more → publishers told and streams finished (held or ended) → players drained → done, all
//! within `shutdown.grace`.

use std::{io::IsTerminal, net::SocketAddr, process::ExitCode, sync::Arc};

use anyhow::Context;
use ingest::{Listener, Owner, Shutdown, Transport};
use media::StreamName;
use metrics_exporter_prometheus::PrometheusBuilder;
use origin::{
    Plain,
    access::{Access, guarded},
};
use rtmp::auth::Challenger;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;
use transcode::{
    Isolation,
    ladder::{AudioWishes, Mode, RungWish, Wishes},
};

use crate::{
    accelerators,
    cli::ServeFlags,
    config::{self, Config, LogFormat, PlayAccess, UserAuth},
    desk::{Desk, gate::Gate, webhook::Hooks},
    doorman::Doorman,
    governor::{self, Governor},
    multitrack,
    recordings::Recordings,
    store::Store,
    stream,
    tls::{self, Certificates},
    token,
};

/// The stream that the first start makes.
const FIRST_STREAM: &str = "studio";
/// Publishers waiting for the desk at once; it answers in less than a millisecond.
const REQUESTS: usize = 64;

/// Runs the gateway until it is told to stop.
///
/// # Errors
/// When the configuration is wrong, a port is taken or the data directory cannot be used.
pub(crate) fn run(flags: &ServeFlags) -> anyhow::Result<ExitCode> {
    let config = flags.load()?;
    init_logging(&config);
    let viewers =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no async runtime")?;
    viewers.block_on(serve(config, flags))
}

fn init_logging(config: &Config) {
    let filter = EnvFilter::new(&config.log_filter);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.log_format {
        LogFormat::Text => builder.with_target(false).with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => builder.json().init(),
    }
}

/// What the operator wants of ladders, from the configuration.
pub(crate) fn wishes(config: &Config) -> Wishes {
    let rate = |bps: u64| u32::try_from(bps).unwrap_or(u32::MAX);
    Wishes {
        mode: if config.ladder { Mode::Auto } else { Mode::Off },
        rungs: config
            .rungs
            .iter()
            .map(|(height, bps)| RungWish { height: *height, bitrate_bps: Some(rate(*bps)) })
            .collect(),
        segment: config.segment.into(),
        longest_segment: config.longest_segment.into(),
        preset: config.preset,
        encoder: config.encoder.filter(|name| !config.broken_encoders.contains(name)).unwrap_or_default(),
        audio: AudioWishes { bitrate_bps: rate(config.audio_bitrate), ..Wishes::default().audio },
        fill_sound: config.fill_sound,
        fill_picture: config.fill_picture,
        audio_only: config.audio_only,
        ..Wishes::default()
    }
}

async fn serve(mut config: Config, flags: &ServeFlags) -> anyhow::Result<ExitCode> {
    let metrics = PrometheusBuilder::new().install_recorder().context("metrics cannot be set up")?;
    accelerators::settle(&mut config).await?;
    let store = Store::open(&config.data_dir)?;
    let rtmp = Listener::bind(&config.rtmp_listen).map_err(|error| {
        let hint = port_hint("rtmp.listen", "--rtmp-listen", error.address);
        anyhow::Error::new(error).context(hint)
    })?;
    let http = TcpListener::bind(config.http_listen)
        .await
        .with_context(|| port_hint("http.listen", "--http-listen", config.http_listen))?;
    let http_address = http.local_addr().context("the HTTP port has no address")?;
    let https = match config.https_listen {
        Some(address) => Some(
            TcpListener::bind(address)
                .await
                .with_context(|| port_hint("http.tls_listen", "--set", address))?,
        ),
        None => None,
    };
    let https_address = https.as_ref().map(TcpListener::local_addr).transpose().context("the HTTPS port")?;
    let rtmp_address = *rtmp.addresses().first().context("no address to listen on for RTMP")?;
    let certificates = tls::certificates(&config)?;
    let rtmps = Rtmps::of(&config, certificates.as_ref());

    let library = origin::Library::new();
    let readiness = origin::Readiness::default();
    let access = Arc::new(Access {
        keys: token::keys(&config, &store)?,
        trusted_proxies: config.viewers.trusted_proxies.networks().to_vec(),
        sites: config.viewers.sites.clone(),
        policies: config::access::policies(&config),
    });
    let settings = origin::Settings {
        rtmp_port: Some(rtmp_address.port()),
        readiness: readiness.clone(),
        access: access.clone(),
        ..origin::Settings::default()
    };
    let recordings =
        Recordings::open(&config, &store).context("recordings cannot be kept (setting recording.url)")?;
    let token = Some(config.admin_token.expose().to_owned()).filter(|token| !token.is_empty());
    let router = origin::router(library.clone(), settings, Some(metrics.clone()))
        .merge(origin::vod::router(Arc::new(recordings.clone()), token));
    let shared = stream::Shared {
        settings: Arc::new(stream::Settings {
            hold: config.hold,
            keep_ended: config.keep_ended,
            linger: config.grace / 2,
            window: config.window,
            pictures: config.pictures,
            min_segments: config.min_segments,
            low_latency: config.low_latency,
            part: config.part,
            wishes: wishes(&config),
            own_wishes: config
                .streams
                .iter()
                .map(|rule| (rule.name.clone(), wishes(&rule.apply(&config))))
                .collect(),
            isolation: Isolation::Process {
                exe: std::env::current_exe().context("this program's own path is unknown")?,
            },
            show_address: config.show_address,
            worker_memory: config.worker_memory,
            sandbox: config.sandbox,
            fault: std::env::var_os(crate::config::OBEY_FAULT_MARKS).map(|_| transcode::Fault::ObeyMarks),
            latency_ceiling: config.latency_ceiling,
            captions: config.captions.clone(),
        }),
        governor: Governor::new(governor::Settings {
            budget: config.cpu_budget as f64 / 100.0,
            ceiling: config.latency_ceiling,
            admission: config.admission,
        }),
        store: store.clone(),
        library,
        recordings: Some(recordings.clone()),
        tasks: TaskTracker::new(),
        stop: CancellationToken::new(),
    };

    let (hooks, hooks_rest) =
        Hooks::start(config.webhooks.clone(), tokio::runtime::Handle::current())?.unzip();

    let (stop_media, stop_http) = (CancellationToken::new(), CancellationToken::new());
    let gate = Arc::new(Gate {
        deny: config.publish_deny.clone(),
        allow: config.publish_allow.clone(),
        rules: config.rules.clone(),
        store: store.clone(),
        users: config.user_auth,
        user_app: config.user_app.clone(),
        hooks,
    });
    let router = router.merge(multitrack::router(multitrack::Settings {
        gate: gate.clone(),
        rungs: shared.settings.wishes.rungs.clone(),
        url: config.publish_url.clone(),
        rtmp_port: rtmp_address.port(),
    }));
    let router = guarded(router, access.clone());
    let settings = ingest_settings(&config, certificates.as_ref(), http_address);
    let shutdown = Shutdown::default();
    let media =
        run_media(rtmp, settings, &config, shared, (gate, access), stop_media.clone(), shutdown.clone())?;
    // The configuration has been checked: where there is a listener, there are certificates.
    let secure = https.zip(certificates.as_ref().map(Certificates::https)).map(|(listener, https)| {
        let stop = stop_http.clone();
        tokio::spawn(origin::serve(listener, https, router.clone(), origin::Limits::default(), stop))
    });
    let freshness = certificates.map(|certificates| tokio::spawn(certificates.keep_fresh()));
    let plain =
        tokio::spawn(origin::serve(http, Plain, router, origin::Limits::default(), stop_http.clone()));
    let origin = async {
        let _ = plain.await;
        if let Some(secure) = secure {
            let _ = secure.await;
        }
    };
    let upkeep = tokio::spawn(async move {
        let mut every = tokio::time::interval(std::time::Duration::from_secs(5));
        loop {
            every.tick().await;
            metrics.run_upkeep();
        }
    });

    // Without a certificate nobody listens for it, and it must not end the gateway where others would read theirs again.
    let _reload = tls::reload_signal();
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be watched")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be watched")?;
    let first_key = first_key(&store)?;
    readiness.set(origin::State::Ready);
    welcome(rtmp_address, rtmps, http_address, https_address, first_key.as_deref());
    if let Some(path) = &flags.ready_file {
        let ready = serde_json::json!({
            "rtmp": rtmp_address.to_string(),
            "http": http_address.to_string(),
            "https": https_address.map(|address| address.to_string()),
        });
        std::fs::write(path, ready.to_string())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }

    tokio::select! {
        _ = terminate.recv() => info!("told to stop"),
        _ = interrupt.recv() => info!("interrupted; once more ends at once"),
    }
    readiness.set(origin::State::Draining);
    let orderly = async {
        shutdown.drain();
        let left = async {
            while shutdown.able_to_leave() > 0 {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        let _ = tokio::time::timeout(config.drain, left).await; // who stays is told goodbye like the others
        stop_media.cancel();
        let _ = media.await;
        recordings.finish().await;
        stop_http.cancel();
        let told = async {
            if let Some(rest) = hooks_rest {
                rest.finish(config.grace).await;
            }
        };
        let _ = tokio::join!(origin, told);
    };
    tokio::select! {
        () = orderly => info!("stopped"),
        () = tokio::time::sleep(config.grace) => warn!(grace = ?config.grace, "not everything stopped in time"),
        _ = interrupt.recv() => warn!("stopped at once"),
    }
    upkeep.abort();
    if let Some(freshness) = freshness {
        freshness.abort();
    }
    Ok(ExitCode::SUCCESS)
}

fn ingest_settings(
    config: &Config,
    certificates: Option<&Certificates>,
    http: SocketAddr,
) -> ingest::Settings {
    let mut session =
        rtmp::Settings { limits: config.limits, timeouts: config.timeouts, ..rtmp::Settings::default() };
    session.timeouts.media_idle = config.rtmp_media_timeout;
    session.ask_at_connect = config.user_auth != UserAuth::Off;
    ingest::Settings {
        session,
        places: config.rtmp_places.clone(),
        denied: config.publish_deny.clone(),
        transports: config.rtmp_transports,
        tls: certificates.map(Certificates::tls),
        max_bitrate_bps: config.rtmp_max_bitrate,
        min_bytes_per_second: config.rtmp_min_rate,
        viewers_port: Some(http.port()),
        stall: config.stall,
        ..ingest::Settings::default()
    }
}

/// Runs ingest and all streams on a thread of their own until `stop`; the receiver resolves when they have ended.
///
/// One thread takes several hundred streams, since the heavy work is done in encoder processes; handing packets from
/// thread to thread would cost more than what is done with them. Viewers are served by other threads, so that no crowd
/// of them can delay a publisher.
fn run_media(
    rtmp: Listener,
    settings: ingest::Settings,
    config: &Config,
    shared: stream::Shared,
    (gate, access): (Arc<Gate>, Arc<Access>),
    stop: CancellationToken,
    shutdown: Shutdown,
) -> anyhow::Result<oneshot::Receiver<()>> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("no async runtime")?;
    let how = config.on_shutdown;
    let desk = Desk {
        shared: shared.clone(),
        gate,
        takeover: config.takeover,
        play: config.play_access,
        access,
        config: Arc::new(config.clone()),
    };
    let doorman = Doorman {
        store: shared.store.clone(),
        challenger: Challenger::new(shared.store.challenge_secret()?),
        mode: config.user_auth,
        app: config.user_app.clone(),
        others_may: !config.rules.is_empty() || config.webhooks.on_publish.is_some(),
    };
    let (plays, knows_users) = (config.play_access != PlayAccess::Off, config.user_auth != UserAuth::Off);
    let (ended, end) = oneshot::channel();
    let work = async move {
        let (publish, inbox) = mpsc::channel(REQUESTS);
        let (play, players) = mpsc::channel(REQUESTS);
        let (connect, questions) = mpsc::channel(REQUESTS);
        let owner = Owner { publish, play: plays.then_some(play), connect: knows_users.then_some(connect) };
        tokio::spawn(doorman.run(questions)); // ends with the last connection
        let ingest = tokio::spawn(rtmp.run(settings, owner, shutdown.clone()));
        let governing = tokio::spawn(shared.governor.clone().run());
        desk.run(how, inbox, players, stop).await;
        shared.stop.cancel();
        shared.tasks.close();
        shared.tasks.wait().await;
        governing.abort();
        shared.store.flush();
        shutdown.stop();
        let _ = ingest.await;
    };
    std::thread::Builder::new()
        .name("media".to_owned())
        .spawn(move || {
            runtime.block_on(work);
            let _ = ended.send(()); // nobody waits any longer when the grace time is over
        })
        .context("no thread for media")?;
    Ok(end)
}

fn port_hint(setting: &str, flag: &str, address: SocketAddr) -> String {
    format!("cannot use {address}; another address is set by {setting} in the configuration, or {flag}")
}

/// Makes the first stream and its key, if there is none at all.
fn first_key(store: &Store) -> anyhow::Result<Option<String>> {
    if !store.keys()?.is_empty() {
        return Ok(None);
    }
    let name: StreamName = FIRST_STREAM.parse()?;
    Ok(Some(store.add_key(&name)?))
}

/// Whether encoders may come with TLS.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rtmps {
    No,
    /// With a certificate that is good for trying things out.
    SelfSigned,
    Trusted,
}

impl Rtmps {
    fn of(config: &Config, certificates: Option<&Certificates>) -> Self {
        match certificates {
            Some(certificates) if config.rtmp_transports.contains(Transport::Rtmps) => {
                if certificates.is_trusted() { Self::Trusted } else { Self::SelfSigned }
            }
            _ => Self::No,
        }
    }
}

/// Tells the person at the terminal what to type where. On standard output, apart from the log.
fn welcome(
    rtmp: SocketAddr,
    rtmps: Rtmps,
    http: SocketAddr,
    https: Option<SocketAddr>,
    first_key: Option<&str>,
) {
    let host = |address: SocketAddr| {
        if address.ip().is_unspecified() { "localhost".to_owned() } else { address.ip().to_string() }
    };
    let port = if rtmp.port() == 1935 { String::new() } else { format!(":{}", rtmp.port()) };
    println!();
    println!("  Sluice is running.");
    println!();
    println!("  Watch           http://{}:{}/", host(http), http.port());
    if let Some(https) = https {
        println!("    with TLS      https://{}:{}/", host(https), https.port());
    }
    println!("  In OBS          Settings > Stream > Service: Custom…");
    println!("    Server        rtmp://{}{port}/live", host(rtmp));
    match rtmps {
        Rtmps::No => {}
        Rtmps::SelfSigned => println!(
            "      with TLS    rtmps://{}:{}/live  (self-signed: not in OBS, see [tls] in the settings)",
            host(rtmp),
            rtmp.port()
        ),
        Rtmps::Trusted => println!("      with TLS    rtmps://{}:{}/live", host(rtmp), rtmp.port()),
    }
    match first_key {
        Some(key) => {
            println!("    Stream Key    {key}");
            println!();
            println!(
                "  The key opens the stream \"{FIRST_STREAM}\". Keep it: only its hash is stored, and it is not shown again."
            );
            println!("  Player: http://{}:{}/watch/{FIRST_STREAM}", host(http), http.port());
        }
        None => {
            println!("    Stream Key    the one shown at the first start, or a new one: sluice keys add NAME")
        }
    }
    println!();
}
