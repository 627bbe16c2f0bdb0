//! Decode once, scale from rung to rung, encode each rung on a thread of its own.
//!
//! ```text
//!  Input ─▶ decode ─▶ normalise ─▶ pace ─▶ cuts marked ─▶ scale to rung 0 ─▶ [FRAMES] ─▶ encoder thread 0 ─▶ Output
//!              │                       └▶ scale to rung 1 ─▶ [FRAMES] ─▶ encoder thread 1 ─▶ Output
//!              ├▶ now and then one to the stills' thread: thumbnail, poster, sheet ─▶ Output
//!              └ each sound: decode ─▶ resample ─▶ encode ─────────────────────────────▶ Output
//! ```
//!
//! Every queue is bounded and waits when full: a slow encoder holds the decoder up, which holds the inputs up, which
//! their sender notices ([`crate::Transcoder::try_send`]). Frames are handed on by reference.
//!
//! It knows nothing of processes; [`crate::worker`] runs it in one.

mod audio;
mod captions;
mod colour;
mod decode;
mod encode;
mod faults;
mod fit;
mod normalise;
mod pace;
mod scale;
mod stills;

use std::{
    io,
    panic::{self, AssertUnwindSafe},
    sync::{Arc, OnceLock},
    thread,
};

pub(crate) use normalise::Tools;

use media::{AudioConfig, FrameRate, MediaSpan, MediaTime, Packet, TrackId, TrackKind, VideoConfig};
use tokio::sync::mpsc;

use crate::{
    AudioJob, Fault, Input, Job, Output, Stats, StillsJob, VideoJob, VideoRung,
    av::{self, CodecError, Picture},
    ladder::EncoderName,
    source::SAME_TIME,
    transcoder::Progress,
};

/// How much sound counts as a group where there are no pictures.
pub(crate) const SOUND_GROUP: MediaSpan = MediaSpan::from_millis(1000);

/// A running pipeline's thread, joined on drop. Let go of both its channels first.
#[derive(Debug)]
pub(crate) struct Joined(Option<thread::JoinHandle<()>>);

impl Joined {
    /// Leaves the thread to end with the process.
    pub(crate) fn detach(mut self) {
        self.0 = None;
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            let _ = thread.join();
        }
    }
}

/// Why a pipeline ended before its time.
#[derive(Debug, thiserror::Error)]
enum Ended {
    /// A codec gave up.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// An encoder thread could not be started.
    #[error("cannot start an encoder thread: {0}")]
    Thread(#[from] io::Error),
    /// The decoder has made nothing of its input for too long.
    #[error("{packets} packets in a row could not be decoded; the last error: {last}")]
    Undecodable { packets: u32, last: String },
    /// An encoder was lost by [`Fault::LoseEncoderAtFrame`].
    #[error("{0} was lost on purpose")]
    Lost(EncoderName),
    /// Nobody takes the output any more, or nobody gives input without having said `Finish`.
    #[error("the other side is gone")]
    Abandoned,
}

/// Runs the pipeline in a thread of its own. It ends after [`Input::Finish`], on a failure that it tells as
/// [`Output::Failed`], or when either channel's other end is dropped.
pub(crate) fn in_thread(
    job: Job,
    inbox: mpsc::Receiver<Input>,
    outbox: mpsc::Sender<Output>,
    progress: Arc<Progress>,
) -> io::Result<Joined> {
    av::quiet();
    thread::Builder::new()
        .name("decode".into())
        .spawn(move || {
            let running = AssertUnwindSafe(|| run(job, inbox, &outbox, &progress));
            let last = match panic::catch_unwind(running) {
                Ok(Ok(())) => Output::Finished,
                Ok(Err(Ended::Abandoned)) => return,
                Ok(Err(Ended::Codec(error)))
                    if error.encoder().is_some_and(|name| name != EncoderName::default()) =>
                {
                    Output::EncoderLost {
                        encoder: error.encoder().unwrap_or_default(),
                        cause: error.to_string(),
                    }
                }
                Ok(Err(Ended::Lost(encoder))) => {
                    Output::EncoderLost { encoder, cause: "lost on purpose".to_owned() }
                }
                Ok(Err(error)) => Output::Failed(error.to_string()),
                Err(_) => {
                    Output::Failed("a fault of the pipeline itself; its panic is in the log".to_owned())
                }
            };
            let _ = outbox.blocking_send(last);
        })
        .map(|thread| Joined(Some(thread)))
}

fn run(
    job: Job,
    mut inbox: mpsc::Receiver<Input>,
    outbox: &mpsc::Sender<Output>,
    progress: &Arc<Progress>,
) -> Result<(), Ended> {
    let first = job.video.as_ref().and_then(|video| video.rungs.first());
    let encoder = first.map(|rung| rung.settings.encoder).unwrap_or_default();
    let mut video = job.video.map(|video| Video::open(video, job.stills, outbox, progress)).transpose()?;
    let mut sounds: Vec<Sound> = job.audio.iter().map(Sound::open).collect::<Result<_, _>>()?;
    let ready = Output::Ready {
        video: video.as_ref().map(|video| video.rungs.configs().to_vec()).unwrap_or_default(),
        audio: sounds.iter().map(|sound| (sound.track.id(), sound.track.config().clone())).collect(),
    };
    outbox.blocking_send(ready).map_err(|_| Ended::Abandoned)?;
    if let Some(word) = video.as_ref().and_then(|video| video.rungs.first_word()) {
        outbox.blocking_send(word).map_err(|_| Ended::Abandoned)?;
    }
    let (mut stats, mut fault) = (Stats::default(), job.fault);
    let mut groups = Groups { track: video.as_ref().map(|video| video.track), sound: None };
    loop {
        let input = inbox.blocking_recv().ok_or(Ended::Abandoned)?;
        if let Input::Packet(packet) = &input {
            if groups.begins(packet) {
                progress.begin_group(packet.dts);
            }
            if fault == Some(Fault::ObeyMarks) {
                faults::obey(&packet.data, outbox);
            }
        }
        match input {
            Input::Packet(packet) => match (packet.kind, &mut video) {
                (TrackKind::Video, Some(video)) if video.track == packet.track => {
                    video.packet(&packet, &mut stats)?;
                }
                (TrackKind::Audio, _) => {
                    if let Some(sound) = find(&mut sounds, packet.track) {
                        sound.packet(&packet, outbox, &mut stats)?;
                    }
                }
                _ => {} // a track that is copied
            },
            Input::CutAt(at) => {
                if let Some(video) = &mut video {
                    video.frames.cut_at(at.ticks());
                }
            }
            Input::VideoConfig(track, config) => {
                if let Some(video) = video.as_mut().filter(|video| video.track == track) {
                    video.reconfigure(&config, &mut stats)?;
                }
            }
            Input::AudioConfig(track, config) => {
                if let Some(sound) = find(&mut sounds, track) {
                    sound.reconfigure(&config, outbox)?;
                }
            }
            Input::Finish => break,
        }
        stats.inputs += 1;
        progress.set_stats(stats);
        faults::inject(&mut fault, stats.frames_decoded, encoder, outbox)?;
    }
    if let Some(mut video) = video {
        video.drain(&mut stats)?;
        video.rungs.finish()?;
    }
    sounds.iter_mut().try_for_each(|sound| sound.finish(outbox))?;
    progress.set_stats(stats);
    Ok(())
}

fn find(sounds: &mut [Sound], track: TrackId) -> Option<&mut Sound> {
    sounds.iter_mut().find(|sound| sound.track.id() == track)
}

/// Where groups begin: what is decoded together, and may be left out together.
struct Groups {
    /// The track whose keyframes begin them.
    track: Option<TrackId>,
    /// Without one: when the last began.
    sound: Option<MediaTime>,
}

impl Groups {
    fn begins(&mut self, packet: &Packet) -> bool {
        if self.track.is_some() {
            return packet.kind == TrackKind::Video && packet.keyframe && self.track == Some(packet.track);
        }
        let begins = self.sound.is_none_or(|last| packet.dts - last >= SOUND_GROUP);
        if begins {
            self.sound = Some(packet.dts);
        }
        begins
    }
}

/// The picture's way: decoder, marks, rungs; and stills of what comes out of the decoder.
struct Video {
    track: TrackId,
    decoder: decode::Decoder,
    normaliser: normalise::Normaliser,
    pacer: pace::Pacer,
    frames: decode::Frames,
    rungs: scale::Rungs,
    stills: Option<stills::Stills>,
    /// No rungs: what comes are keyframes, each shown by itself.
    stills_alone: bool,
    progress: Arc<Progress>,
    /// No rung had an encoder, and one is wanted again: frames are decoded for the cut that will open it.
    waking: bool,
    last_pts: Option<i64>,
}

impl Video {
    fn open(
        job: VideoJob,
        stills: Option<StillsJob>,
        outbox: &mpsc::Sender<Output>,
        progress: &Arc<Progress>,
    ) -> Result<Self, Ended> {
        let stills_alone = job.rungs.is_empty();
        // One picture every few seconds is a load for no more than one thread.
        let rate = if stills_alone { FrameRate::new(1, 1) } else { job.frame_rate };
        let matrix = colour::of(&job.config, Tools::here()).matrix;
        let stills =
            stills.map(|stills| stills::Stills::start(stills, matrix, outbox.clone())).transpose()?;
        let largest = job.rungs.first().map_or(stills::LARGEST, |rung| (rung.width, rung.height));
        Ok(Self {
            track: job.track,
            decoder: decode::Decoder::open(&job.config, rate, largest)?,
            normaliser: normalise::Normaliser::new(largest),
            pacer: pace::Pacer::new(nominal_rate(&job)),
            frames: decode::Frames::default(),
            rungs: scale::Rungs::open(&job, outbox, progress)?,
            stills,
            stills_alone,
            progress: Arc::clone(progress),
            waking: false,
            last_pts: None,
        })
    }

    fn packet(&mut self, packet: &Packet, stats: &mut Stats) -> Result<(), Ended> {
        if self.stills_alone || self.sleeps(packet) {
            return self.still(packet, stats);
        }
        self.progress.meters().decoder.time(|| self.decoder.send(packet, stats))?;
        self.pump(stats)
    }

    /// Decodes a single keyframe when a still is due, for nothing else.
    fn still(&mut self, packet: &Packet, stats: &mut Stats) -> Result<(), Ended> {
        let Some(stills) = self.stills.as_mut().filter(|stills| stills.is_due(packet.pts.ticks())) else {
            return Ok(());
        };
        if !packet.keyframe {
            return Ok(());
        }
        self.decoder.send(packet, stats)?;
        // A decoder that reorders gives a picture away only when told that none follows.
        self.decoder.finish();
        while let Some(picture) = self.decoder.receive(stats)? {
            self.normaliser.push(picture);
        }
        self.normaliser.finish();
        for picture in self.normaliser.ready() {
            if let Some(at) = picture.pts() {
                stills.look(&picture, at);
            }
        }
        self.decoder.restart();
        Ok(())
    }

    /// While no rung has an encoder nothing is decoded but stills, until the first keyframe after one is wanted again.
    fn sleeps(&mut self, packet: &Packet) -> bool {
        if !self.rungs.idle() {
            self.waking = false;
            return false;
        }
        if !self.waking && packet.keyframe {
            self.waking = self.rungs.any_wanted();
            // What the decoder still holds of the time before is of no use.
            self.frames.skip_to((packet.pts - SAME_TIME).ticks());
        }
        !self.waking
    }

    /// All that the decoder has ready goes to the rungs.
    fn pump(&mut self, stats: &mut Stats) -> Result<(), Ended> {
        let progress = Arc::clone(&self.progress);
        loop {
            let next = || -> Result<_, Ended> {
                let Some(mut picture) = self.decoder.receive(stats)? else { return Ok(None) };
                let pts = picture.pts();
                self.rungs.captions().collect(&mut picture);
                self.normaliser.push(picture);
                Ok(Some(pts))
            };
            let Some(pts) = progress.meters().decoder.time(next)? else { return Ok(()) };
            if let (Some(last), Some(pts)) = (self.last_pts, pts) {
                progress.meters().decoder.content(pts - last);
            }
            self.last_pts = pts;
            self.place_ready(stats)?;
        }
    }

    /// The pictures that are ready go to the rungs, and now and then to the stills.
    fn place_ready(&mut self, stats: &mut Stats) -> Result<(), Ended> {
        for picture in self.normaliser.ready() {
            if let (Some(stills), Some(at)) = (&mut self.stills, picture.pts()) {
                stills.look(&picture, at);
            }
            show(&picture, &mut self.pacer, &mut self.frames, &mut self.rungs, stats)?;
        }
        Ok(())
    }

    fn drain(&mut self, stats: &mut Stats) -> Result<(), Ended> {
        self.decoder.finish();
        self.pump(stats)?;
        self.normaliser.finish();
        self.place_ready(stats)
    }

    fn reconfigure(&mut self, config: &VideoConfig, stats: &mut Stats) -> Result<(), Ended> {
        self.drain(stats)?;
        self.decoder.reopen(config)?;
        Ok(())
    }
}

/// A picture goes to the rungs, after repeats of the one before where frames come too rarely.
fn show(
    picture: &Picture,
    pacer: &mut pace::Pacer,
    frames: &mut decode::Frames,
    rungs: &mut scale::Rungs,
    stats: &mut Stats,
) -> Result<(), Ended> {
    let Some(pts) = frames.follows(picture.pts()) else {
        stats.frames_dropped += 1;
        return Ok(());
    };
    let before = pacer.last();
    match pacer.see(pts, frames.is_due(pts)) {
        pace::Pace::Leave => stats.frames_dropped += 1,
        pace::Pace::Show { repeats } => {
            for at in pace::Pacer::between(before.unwrap_or(pts), pts, repeats) {
                if frames.is_due(at) && !rungs.all_can_repeat() {
                    break; // the segment opens at the frame itself, in all rungs
                }
                if let Some(place) = frames.place(at) {
                    rungs.repeat(place)?;
                }
            }
            if let Some(place) = frames.place(pts) {
                rungs.push(picture, place)?;
            }
        }
    }
    Ok(())
}

/// The rate that the rungs are declared with, before it is halved for some; the source's where none is declared.
fn nominal_rate(job: &VideoJob) -> Option<FrameRate> {
    let whole = |rung: &VideoRung| {
        let rate = rung.frame_rate?;
        if rung.settings.halve_rate {
            FrameRate::new(rate.num().checked_mul(2)?, rate.den())
        } else {
            Some(rate)
        }
    };
    job.rungs.iter().find_map(whole).or(job.frame_rate)
}

/// One track of sound's way.
struct Sound {
    track: audio::Track,
    made: Vec<Packet>,
}

impl Sound {
    fn open(job: &AudioJob) -> Result<Self, Ended> {
        Ok(Self { track: audio::Track::open(job)?, made: Vec::new() })
    }

    fn packet(
        &mut self,
        packet: &Packet,
        outbox: &mpsc::Sender<Output>,
        stats: &mut Stats,
    ) -> Result<(), Ended> {
        self.track.packet(packet, &mut self.made, stats)?;
        self.send(outbox)
    }

    fn reconfigure(&mut self, config: &AudioConfig, outbox: &mpsc::Sender<Output>) -> Result<(), Ended> {
        self.track.reconfigure(config, &mut self.made)?;
        self.send(outbox)
    }

    fn finish(&mut self, outbox: &mpsc::Sender<Output>) -> Result<(), Ended> {
        self.track.finish(&mut self.made)?;
        self.send(outbox)
    }

    fn send(&mut self, outbox: &mpsc::Sender<Output>) -> Result<(), Ended> {
        self.made
            .drain(..)
            .try_for_each(|packet| outbox.blocking_send(Output::Audio(packet)))
            .map_err(|_| Ended::Abandoned)
    }
}

/// Cores that this process may use. Counted once: a sandbox hides the files that tell of a container's share.
pub(crate) fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| thread::available_parallelism().map_or(1, usize::from))
}
