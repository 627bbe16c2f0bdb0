//! A running transcoder as the rest of Sluice sees it: packets in, packets per rung out. Whether it is a process or a
//! thread shows nowhere else.
//!
//! ```text
//!  try_send ─▶ [INPUT_QUEUE] ─▶ worker process or thread ─▶ [OUTPUT_QUEUE] ─▶ recv
//!     └ full: the packet comes back, the caller decides         └ full: encoding waits, then the input queue fills
//! ```

use std::{
    fmt, io,
    path::PathBuf,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use media::{AudioConfig, MediaSpan, MediaTime, Packet, TrackId, TrackKind, VideoConfig};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use crate::{
    Job, Load, Still,
    ladder::EncoderName,
    load::{Meters, process_cpu_micros},
    pipeline,
    worker::{self, Attempt, Layers},
};

/// Inputs waiting for the transcoder: about six seconds of picture and sound, which covers what gathers while a source
/// is looked at and while a worker starts.
const INPUT_QUEUE: usize = 512;
/// Outputs waiting to be taken: about a second of a four-rung ladder.
const OUTPUT_QUEUE: usize = 256;

/// Where the codecs run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Isolation {
    /// In a child process: `exe worker`, which must call [`crate::worker_main`]. Needs a tokio runtime with IO.
    Process {
        /// The program; usually `std::env::current_exe()`.
        exe: PathBuf,
    },
    /// In a thread of this process: for tests and benches. Broken media may take the process down.
    Thread,
}

/// What goes in.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Input {
    /// A packet of a track that the job encodes, in decode order; others are ignored.
    Packet(Packet),
    /// The first frame at or after this instant opens a segment in every rung: it becomes an IDR picture. To be sent
    /// before the packet that holds the frame.
    CutAt(MediaTime),
    /// What follows is coded in another way. The rungs' sizes stay; the picture is fitted in.
    VideoConfig(TrackId, Arc<VideoConfig>),
    /// The same for sound.
    AudioConfig(TrackId, Arc<AudioConfig>),
    /// Nothing more comes: what is under way is finished, then [`Output::Finished`].
    Finish,
}

/// What comes out.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Output {
    /// The encoders stand; always first.
    Ready {
        /// Configuration of each encoded rung, in the job's order.
        video: Vec<VideoConfig>,
        /// Configuration of each encoded track of sound, in the job's order.
        audio: Vec<(TrackId, AudioConfig)>,
    },
    /// A coded picture. Its `pts` is that of the source's frame.
    Video {
        /// Which of the job's rungs.
        rung: usize,
        /// The picture.
        packet: Packet,
    },
    /// Encoders were opened or closed. Always at a cut, and before any picture from there on; told first, right after
    /// `Ready`, where a rung starts without an encoder.
    Rungs {
        /// Pictures from this time on are concerned.
        from: MediaTime,
        /// For each rung of the job the rung whose pictures stand in for its own: itself where it has an encoder, else
        /// the next smaller that has; `None` where there is none.
        by: Vec<Option<usize>>,
        /// Configuration of each rung as last opened.
        video: Vec<VideoConfig>,
    },
    /// The last picture of a rung's encoder, which was closed, has come.
    Drained {
        /// Which of the job's rungs.
        rung: usize,
    },
    /// Coded sound; its track is that of the sound it was made of.
    Audio(Packet),
    /// Everything that was put in has come out; nothing follows.
    Finished,
    /// It ended before its time, with the reason; nothing follows.
    Failed(String),
    /// What code in the worker tried, and how it went; only after [`crate::Fault::BreakOutAtFrame`].
    #[doc(hidden)]
    Tried(Vec<Attempt>),
    /// A picture for people. Stills of one kind come in rising order of their times.
    Still(Still),
    /// It ended before its time because an encoder did not open or gave up, such as one whose device is lost; nothing
    /// follows. Another encoder may do better.
    EncoderLost {
        /// Which.
        encoder: EncoderName,
        /// FFmpeg's words.
        cause: String,
    },
}

impl Output {
    /// Whether nothing follows it.
    pub(crate) fn is_last(&self) -> bool {
        matches!(self, Self::Finished | Self::Failed(_) | Self::EncoderLost { .. })
    }
}

/// What the transcoder counts. Only ever grows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Stats {
    /// Frames that were decoded.
    pub frames_decoded: u64,
    /// Packets that the decoders could not use.
    pub decode_errors: u64,
    /// Frames that were left out: out of order, at a time already taken, or more than the rungs' rate has room for.
    pub frames_dropped: u64,
    /// Times the encoded sound left its sample count, because the source's stamps jumped.
    pub audio_reanchored: u64,
    /// Inputs that are done with, decoded or passed over.
    pub inputs: u64,
}

/// Why a transcoder did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The socket to the worker could not be made.
    #[error("cannot make the socket to the worker")]
    Socket(#[source] io::Error),
    /// The worker's program could not be started.
    #[error("cannot start the worker {exe}")]
    Spawn {
        /// The program.
        exe: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// The thread could not be started.
    #[error("cannot start the transcoding thread")]
    Thread(#[source] io::Error),
}

/// Why an input was not taken.
#[derive(Debug)]
pub enum SendError {
    /// The queue is full: the transcoder is behind by [`Transcoder::behind`]. The input comes back.
    Full(Input),
    /// It has ended; [`Transcoder::recv`] tells how.
    Closed,
}

/// A running transcoder. Dropping it kills a worker process at once and has it reaped, or ends and joins a thread.
///
/// `try_send`, `recv` and the getters can all be used from one `select!` loop.
#[derive(Debug)]
pub struct Transcoder {
    // The order is that of dropping: both channel ends before the runner, whose threads end when they are gone.
    input: mpsc::Sender<Input>,
    output: mpsc::Receiver<Output>,
    progress: Arc<Progress>,
    runner: Runner,
}

#[derive(Debug)]
enum Runner {
    Process(worker::Host),
    Thread(#[expect(dead_code, reason = "held for its drop")] pipeline::Joined),
}

/// What both sides of the transcoder keep account of.
#[derive(Debug)]
pub(crate) struct Progress {
    stats: Mutex<Stats>,
    /// Newest dts of a picture put in, and what has come out of each rung.
    video_in: AtomicI64,
    video_out: Vec<AtomicI64>,
    /// A bit for each rung that has an encoder.
    running: AtomicU64,
    /// A bit for each rung that is to have one.
    wanted: watch::Sender<u64>,
    /// Written by a pipeline in this process.
    meters: Meters,
    /// What a worker process told.
    load: Mutex<Option<Load>>,
    /// What shuts a worker process in.
    pub(crate) layers: OnceLock<Layers>,
    /// Inputs that were put in.
    inputs: AtomicU64,
    /// Earliest and latest time put in.
    earliest: AtomicI64,
    latest: AtomicI64,
    /// Decoding time of the packet that began the group being decoded.
    group: AtomicI64,
    /// Hears of each group before anything of it is decoded.
    on_group: OnceLock<OnGroup>,
}

struct OnGroup(Box<dyn Fn(MediaTime) + Send + Sync>);

impl fmt::Debug for OnGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnGroup")
    }
}

impl Transcoder {
    /// Starts the work that `job` describes. Returns as soon as the process or thread runs; [`Output::Ready`] follows
    /// when its codecs are open.
    ///
    /// On Linux a worker process dies with the thread that started it: call this from a thread that lives as long as
    /// the runtime (a runtime's worker, not one of its blocking threads).
    ///
    /// # Errors
    /// When the process or thread cannot be started. What goes wrong later is [`Output::Failed`].
    pub async fn start(isolation: Isolation, job: Job) -> Result<Self, StartError> {
        let (input, inbox) = mpsc::channel(INPUT_QUEUE);
        let (outbox, output) = mpsc::channel(OUTPUT_QUEUE);
        let progress = Arc::new(Progress::new(&job));
        let runner = match isolation {
            Isolation::Process { exe } => {
                Runner::Process(worker::Host::start(exe, job, inbox, outbox, Arc::clone(&progress))?)
            }
            Isolation::Thread => Runner::Thread(
                pipeline::in_thread(job, inbox, outbox, Arc::clone(&progress)).map_err(StartError::Thread)?,
            ),
        };
        Ok(Self { input, output, progress, runner })
    }

    /// Puts an input in, without waiting.
    ///
    /// # Errors
    /// [`SendError::Full`] gives the input back; [`SendError::Closed`] when the transcoder has ended.
    pub fn try_send(&self, input: Input) -> Result<(), SendError> {
        let stamp = Stamp::of(&input);
        self.input.try_send(input).map_err(|error| match error {
            mpsc::error::TrySendError::Full(input) => SendError::Full(input),
            mpsc::error::TrySendError::Closed(_) => SendError::Closed,
        })?;
        self.progress.note_in(stamp);
        Ok(())
    }

    /// Puts an input in, waiting for room. Cancelled, the input is lost.
    ///
    /// Whoever calls this must have another task take the outputs, or both sides may wait for each other.
    ///
    /// # Errors
    /// [`SendError::Closed`] when the transcoder has ended.
    pub async fn send(&self, input: Input) -> Result<(), SendError> {
        let stamp = Stamp::of(&input);
        self.input.send(input).await.map_err(|_| SendError::Closed)?;
        self.progress.note_in(stamp);
        Ok(())
    }

    /// The next output; `None` after [`Output::Finished`] or [`Output::Failed`]. Cancel-safe.
    pub async fn recv(&mut self) -> Option<Output> {
        let output = self.output.recv().await?;
        self.progress.note_out(&output);
        Some(output)
    }

    /// How much picture has been put in and has not come out of the slowest rung; zero before the first frame.
    /// A healthy pipeline shows half a second: the encoders look ahead.
    pub fn behind(&self) -> MediaSpan {
        self.progress.behind()
    }

    /// Inputs that still fit in the queue.
    pub fn room(&self) -> usize {
        self.input.capacity()
    }

    /// The counters so far; those of a worker process arrive about once a second of media.
    pub fn stats(&self) -> Stats {
        self.progress.stats()
    }

    /// Which rungs are to have an encoder, in the job's order; others keep theirs. Takes effect at the next cut that the
    /// transcoder comes to, ahead of what waits in the queue, and is told by [`Output::Rungs`].
    pub fn want(&self, rungs: &[bool]) {
        self.progress.set_wanted(rungs.iter().rev().fold(0, |mask, wanted| mask << 1 | u64::from(*wanted)));
    }

    /// What its parts have cost so far; of a worker process told about once a second.
    pub fn load(&self) -> Load {
        self.progress.load()
    }

    /// Decoding time of the keyframe that began the group of pictures it decoded last (without pictures: of the sound
    /// that began the last second). Known however it ended, so that what kills it can be told.
    pub fn group(&self) -> Option<MediaTime> {
        let at = self.progress.group.load(Ordering::Relaxed);
        (at != NEVER).then(|| MediaTime::from_ticks(at))
    }

    /// What shuts the worker process in; `None` in a thread, or before its codecs were open.
    pub fn layers(&self) -> Option<&Layers> {
        self.progress.layers.get()
    }

    /// The worker's process id; `None` in a thread, or after the process was reaped.
    pub fn worker_pid(&self) -> Option<u32> {
        match &self.runner {
            Runner::Process(host) => host.pid(),
            Runner::Thread(_) => None,
        }
    }
}

/// What is noted of an input.
struct Stamp {
    /// Decoding time of a picture.
    video: Option<i64>,
    /// Decoding and showing time of any packet.
    any: Option<(i64, i64)>,
}

impl Stamp {
    fn of(input: &Input) -> Self {
        let Input::Packet(packet) = input else { return Self { video: None, any: None } };
        let (dts, pts) = (packet.dts.ticks(), packet.pts.ticks());
        Self { video: (packet.kind == TrackKind::Video).then_some(dts), any: Some((dts, pts)) }
    }
}

/// No stamp yet.
const NEVER: i64 = i64::MIN;

impl Progress {
    pub(crate) fn new(job: &Job) -> Self {
        let rungs = job.video.as_ref().map_or(&[][..], |video| &video.rungs[..]);
        let wanted = rungs.iter().rev().fold(0, |mask, rung| mask << 1 | u64::from(!rung.shed));
        Self {
            stats: Mutex::default(),
            video_in: AtomicI64::new(NEVER),
            video_out: rungs.iter().map(|_| AtomicI64::new(NEVER)).collect(),
            running: AtomicU64::new(wanted),
            wanted: watch::Sender::new(wanted),
            meters: Meters::new(rungs.len()),
            load: Mutex::new(None),
            layers: OnceLock::new(),
            inputs: AtomicU64::new(0),
            earliest: AtomicI64::new(i64::MAX),
            latest: AtomicI64::new(NEVER),
            group: AtomicI64::new(NEVER),
            on_group: OnceLock::new(),
        }
    }

    /// Whether a rung is to have an encoder.
    pub(crate) fn wants(&self, rung: usize) -> bool {
        rung < 64 && *self.wanted.borrow() >> rung & 1 == 1
    }

    /// The same of all rungs, a bit each, as it changes.
    pub(crate) fn wanted(&self) -> watch::Receiver<u64> {
        self.wanted.subscribe()
    }

    pub(crate) fn set_wanted(&self, mask: u64) {
        self.wanted.send_if_modified(|wanted| std::mem::replace(wanted, mask) != mask);
    }

    pub(crate) fn meters(&self) -> &Meters {
        &self.meters
    }

    fn load(&self) -> Load {
        let told = self.load.lock().unwrap_or_else(PoisonError::into_inner).clone();
        told.unwrap_or_else(|| self.meters.read())
    }

    /// A worker process told what it cost.
    pub(crate) fn set_load(&self, load: Load) {
        *self.load.lock().unwrap_or_else(PoisonError::into_inner) = Some(load);
    }

    /// What a worker process tells of itself.
    pub(crate) fn own_load(&self) -> Load {
        Load { process_cpu_micros: process_cpu_micros(), ..self.meters.read() }
    }

    pub(crate) fn stats(&self) -> Stats {
        *self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_stats(&self, stats: Stats) {
        *self.stats.lock().unwrap_or_else(PoisonError::into_inner) = stats;
    }

    fn note_in(&self, stamp: Stamp) {
        self.inputs.fetch_add(1, Ordering::Relaxed);
        if let Some((dts, pts)) = stamp.any {
            self.earliest.fetch_min(dts.min(pts), Ordering::Relaxed);
            self.latest.fetch_max(dts.max(pts), Ordering::Relaxed);
        }
        if let Some(dts) = stamp.video
            && self.video_in.fetch_max(dts, Ordering::Relaxed) == NEVER
        {
            self.video_out.iter().for_each(|rung| rung.store(dts, Ordering::Relaxed));
        }
    }

    /// Inputs put in that are not done with, as far as is known.
    pub(crate) fn waiting(&self) -> u64 {
        self.inputs.load(Ordering::Relaxed).saturating_sub(self.stats().inputs)
    }

    /// An input never reached the worker.
    pub(crate) fn left_out(&self) {
        self.inputs.fetch_sub(1, Ordering::Relaxed);
    }

    /// Earliest and latest time put in so far.
    pub(crate) fn span(&self) -> Option<(MediaTime, MediaTime)> {
        let (from, to) = (self.earliest.load(Ordering::Relaxed), self.latest.load(Ordering::Relaxed));
        (to != NEVER).then(|| (MediaTime::from_ticks(from), MediaTime::from_ticks(to)))
    }

    /// A group is about to be decoded.
    pub(crate) fn begin_group(&self, at: MediaTime) {
        self.group.store(at.ticks(), Ordering::Relaxed);
        if let Some(OnGroup(tell)) = self.on_group.get() {
            tell(at);
        }
    }

    /// Who is to hear of groups, before the first of them; only the first call counts.
    pub(crate) fn on_group(&self, tell: impl Fn(MediaTime) + Send + Sync + 'static) {
        let _ = self.on_group.set(OnGroup(Box::new(tell)));
    }

    fn note_out(&self, output: &Output) {
        if let Output::Rungs { by, from, .. } = output {
            let mut running = 0;
            for (rung, _) in by.iter().enumerate().filter(|(rung, by)| **by == Some(*rung)) {
                running |= 1u64.checked_shl(rung as u32).unwrap_or(0);
                if let Some(out) = self.video_out.get(rung) {
                    out.fetch_max(from.ticks(), Ordering::Relaxed);
                }
            }
            self.running.store(running, Ordering::Relaxed);
        }
        if let Output::Video { rung, packet } = output
            && let Some(rung) = self.video_out.get(*rung)
        {
            rung.fetch_max(packet.dts.ticks(), Ordering::Relaxed);
        }
    }

    fn behind(&self) -> MediaSpan {
        let newest = self.video_in.load(Ordering::Relaxed);
        let running = self.running.load(Ordering::Relaxed);
        let rungs = self
            .video_out
            .iter()
            .enumerate()
            .filter(|(rung, _)| running.checked_shr(*rung as u32).unwrap_or(0) & 1 == 1);
        let slowest = rungs.map(|(_, out)| out.load(Ordering::Relaxed)).min();
        match slowest {
            Some(slowest) if newest != NEVER => MediaSpan::from_ticks(newest.saturating_sub(slowest).max(0)),
            _ => MediaSpan::ZERO,
        }
    }
}
