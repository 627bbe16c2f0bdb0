//! One rung's encoder on a thread of its own.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use media::{FrameRate, MediaTime, Packet, TrackId, TrackKind, VideoConfig};
use tokio::sync::mpsc;

use super::Ended;
use crate::{
    Output, VideoRung,
    av::{Colour, EncoderSettings, Picture, Received, VideoEncoder},
    load::Meter,
    transcoder::Progress,
};

/// Frames waiting for one encoder: enough to ride over its slow frames. One more for each of 720p, 480p and 360p is 2.3 MB.
const FRAMES: usize = 3;
/// Luma samples a second that x264 makes on one core with `veryfast` and some room to spare. With one thread it works
/// about 12 % cheaper than with several, so it gets more only above this.
const ONE_THREAD: f64 = 45e6;
/// Most threads of one encoder.
const MAX_THREADS: usize = 8;

/// A picture with its time and mark.
pub(super) struct Marked(pub(super) Picture);

/// The pipeline's end of an encoder thread. Dropped, the thread ends without finishing, and is joined.
pub(super) struct Encoder {
    rung: usize,
    progress: Arc<Progress>,
    frames: Option<SyncSender<Work>>,
    thread: Option<thread::JoinHandle<Result<(), Ended>>>,
}

enum Work {
    Frame(Marked),
    Finish,
}

/// An encoder that is finishing.
pub(super) struct Finishing(Encoder);

impl Encoder {
    /// Opens the encoder and starts its thread.
    pub(super) fn start(
        rung: usize,
        job: &VideoRung,
        colour: Colour,
        outbox: mpsc::Sender<Output>,
        progress: Arc<Progress>,
    ) -> Result<(Self, VideoConfig), Ended> {
        let encoder = VideoEncoder::open(&settings(job, colour))?;
        let config = encoder.config()?;
        let (frames, inbox) = sync_channel(FRAMES);
        // Linux keeps 15 characters of the name.
        let thread = thread::Builder::new().name(format!("enc-{}", job.name)).spawn({
            let progress = Arc::clone(&progress);
            move || Worker { rung, encoder, outbox, progress, last_dts: None, last_pts: None }.run(&inbox)
        })?;
        Ok((Self { rung, progress, frames: Some(frames), thread: Some(thread) }, config))
    }

    /// Hands a picture over, waiting for room.
    pub(super) fn push(&mut self, picture: Marked) -> Result<(), Ended> {
        self.meter().enters();
        let sent = self.frames.as_ref().is_some_and(|frames| frames.send(Work::Frame(picture)).is_ok());
        if sent { Ok(()) } else { Err(self.why()) }
    }

    /// Tells it that nothing more comes.
    pub(super) fn finish(mut self) -> Finishing {
        if let Some(frames) = self.frames.take() {
            let _ = frames.send(Work::Finish); // fails only when it has ended already, which joining tells
        }
        Finishing(self)
    }

    /// The thread has ended by itself: for which reason.
    fn why(&mut self) -> Ended {
        match self.join() {
            Err(error) => error,
            Ok(()) => Ended::Abandoned,
        }
    }

    fn meter(&self) -> &Meter {
        &self.progress.meters().rungs[self.rung]
    }

    fn join(&mut self) -> Result<(), Ended> {
        self.frames = None;
        match self.thread.take().map(thread::JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Ok(()),
        }
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        self.frames = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Finishing {
    /// Whether its last picture has come out, so that joining takes no time.
    pub(super) fn is_done(&self) -> bool {
        self.0.thread.as_ref().is_none_or(thread::JoinHandle::is_finished)
    }

    pub(super) fn join(mut self) -> Result<(), Ended> {
        self.0.join()
    }
}

struct Worker {
    rung: usize,
    encoder: VideoEncoder,
    outbox: mpsc::Sender<Output>,
    progress: Arc<Progress>,
    last_dts: Option<i64>,
    last_pts: Option<i64>,
}

impl Worker {
    fn run(mut self, frames: &Receiver<Work>) -> Result<(), Ended> {
        loop {
            match frames.recv() {
                Ok(Work::Frame(Marked(picture))) => {
                    self.meter().leaves();
                    if let (Some(last), Some(pts)) = (self.last_pts, picture.pts()) {
                        self.meter().content(pts - last);
                    }
                    self.last_pts = picture.pts();
                    let meter = &self.progress.meters().rungs[self.rung];
                    meter.time(|| self.encoder.send(&picture))?;
                    drop(picture); // x264 has its own copy; the pool may have this one back
                    self.pump()?;
                }
                Ok(Work::Finish) => {
                    self.encoder.finish()?;
                    self.pump()?;
                    let drained = Output::Drained { rung: self.rung };
                    return self.outbox.blocking_send(drained).map_err(|_| Ended::Abandoned);
                }
                Err(_) => return Ok(()),
            }
        }
    }

    fn meter(&self) -> &Meter {
        &self.progress.meters().rungs[self.rung]
    }

    fn pump(&mut self) -> Result<(), Ended> {
        loop {
            let meter = &self.progress.meters().rungs[self.rung];
            let Received::Output(coded) = meter.time(|| self.encoder.receive())? else { return Ok(()) };
            // x264 makes them rise; a time base as fine as ours leaves it room to.
            let dts = self.last_dts.map_or(coded.dts, |last| coded.dts.max(last + 1));
            self.last_dts = Some(dts);
            let packet = Packet {
                track: TrackId(0),
                kind: TrackKind::Video,
                pts: MediaTime::from_ticks(coded.pts),
                dts: MediaTime::from_ticks(dts),
                keyframe: coded.idr,
                data: coded.data,
            };
            let output = Output::Video { rung: self.rung, packet };
            self.outbox.blocking_send(output).map_err(|_| Ended::Abandoned)?;
        }
    }
}

fn settings(job: &VideoRung, colour: Colour) -> EncoderSettings {
    let settings = &job.settings;
    EncoderSettings {
        width: job.width,
        height: job.height,
        frame_rate: job.frame_rate,
        bitrate_bps: settings.bitrate_bps,
        maxrate_bps: settings.maxrate_bps,
        bufsize_bits: settings.bufsize_bits,
        profile: settings.profile,
        level_idc: settings.level_idc,
        preset: settings.preset,
        colour,
        gop: None,
        threads: threads(job.width, job.height, job.frame_rate),
        encoder: settings.encoder,
    }
}

fn threads(width: u32, height: u32, rate: Option<FrameRate>) -> usize {
    let load = f64::from(width) * f64::from(height) * rate.map_or(30.0, FrameRate::as_f64);
    let cores = super::cores();
    ((load / ONE_THREAD).ceil() as usize).clamp(1, cores.min(MAX_THREADS))
}
