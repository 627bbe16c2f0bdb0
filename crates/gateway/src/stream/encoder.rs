//! The encoder of one stream, supervised: started, fed at its own pace, restarted when it dies, given up on when it
//! keeps dying.
//!
//! A dead encoder is started again at once, from the last keyframe that its unfinished segments need. One that dies
//! twice in the same group of pictures would die a third time: that group is left out. One that dies wherever it begins
//! rests for a while, and the stream goes on with what needs no encoder.

use tokio::time::Instant;
use tracing::{error, info, warn};
use transcode::{Input, Isolation, Job, Load, Output, Transcoder, ladder::EncoderName};

use super::deaths::{Deaths, REST, Remedy};

/// Deaths in a row, without a segment finished in between, after which libx264 stands in for an accelerator.
const DEATHS_BEFORE_FALLBACK: u32 = 2;
/// A slow machine's encoder is taken for a hung one at most so many times longer each time.
const MOST_PATIENCE: u32 = 4;

/// What the stream must do about its encoder.
#[derive(Debug)]
pub(super) enum Heard {
    /// It made something.
    Output(Output),
    /// It died, was let go, and is to be started again with [`Encoder::start`] when [`Encoder::retry_at`] has come.
    Died(Remedy),
}

/// The encoder of one publication.
pub(super) struct Encoder {
    isolation: Isolation,
    job: Job,
    running: Option<Transcoder>,
    retry_at: Option<Instant>,
    deaths: Deaths,
    /// Starts so far beyond the first, for the counters.
    restarts: u64,
    /// When it died, until a picture comes from the next.
    died_at: Option<Instant>,
    /// See [`Self::fallback`].
    fallback: Option<String>,
}

impl Encoder {
    /// An encoder for `job`, not yet started.
    pub(super) fn new(isolation: Isolation, job: Job) -> Self {
        Self {
            isolation,
            job,
            running: None,
            retry_at: Some(Instant::now()),
            deaths: Deaths::default(),
            restarts: 0,
            died_at: None,
            fallback: None,
        }
    }

    /// Restarts so far.
    pub(super) fn restarts(&self) -> u64 {
        self.restarts
    }

    /// Whether it can be told something now.
    pub(super) fn running(&self) -> bool {
        self.running.is_some()
    }

    /// Which of the job's rungs are to be encoded; holds for restarts too.
    pub(super) fn want(&mut self, wanted: &[bool]) {
        if let Some(video) = &mut self.job.video {
            video.rungs.iter_mut().zip(wanted).for_each(|(rung, wanted)| rung.shed = !wanted);
        }
        if let Some(transcoder) = &self.running {
            transcoder.want(wanted);
        }
    }

    /// What it has cost since it was started, if it runs.
    pub(super) fn load(&self) -> Option<Load> {
        self.running.as_ref().map(Transcoder::load)
    }

    /// When it wants [`Self::start`], if it is not running.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Whether it has died too often and is left alone for a while.
    pub(super) fn resting(&self) -> bool {
        self.retry_at.is_some_and(|at| at > Instant::now() + REST / 10)
    }

    /// Starts it. A failure counts as a death.
    pub(super) async fn start(&mut self) {
        self.retry_at = None;
        let mut job = self.job.clone();
        job.patience *= (self.deaths.in_a_row + 1).min(MOST_PATIENCE);
        match Transcoder::start(self.isolation.clone(), job).await {
            Ok(transcoder) => self.running = Some(transcoder),
            Err(cause) => {
                error!(error = &cause as &dyn std::error::Error, "encoder cannot be started");
                self.died();
            }
        }
    }

    /// Offers it the next input; true when it took it. False means that it is busy, or not running.
    pub(super) fn offer(&mut self, input: Input) -> bool {
        let Some(transcoder) = &mut self.running else { return false };
        transcoder.try_send(input).is_ok()
    }

    /// Waits for something it says. Never resolves while it is not running. Cancel-safe.
    pub(super) async fn hear(&mut self) -> Heard {
        let Some(transcoder) = &mut self.running else { return std::future::pending().await };
        match transcoder.recv().await {
            Some(Output::Failed(cause)) => {
                warn!(cause, "encoder failed");
                self.died()
            }
            Some(Output::EncoderLost { encoder, cause }) => {
                self.fall_back(encoder, &cause);
                self.died()
            }
            None => {
                warn!("encoder died");
                self.died()
            }
            Some(output) => {
                if matches!(output, Output::Video { .. })
                    && let Some(at) = self.died_at.take()
                {
                    info!(after_ms = at.elapsed().as_millis() as u64, "encoder is back");
                }
                Heard::Output(output)
            }
        }
    }

    /// It got somewhere: what killed it before is behind it.
    pub(super) fn progressed(&mut self) {
        self.deaths.in_a_row = 0;
    }

    /// Lets it go and starts over at once, because it was too slow. One that rests goes on resting.
    pub(super) fn restart(&mut self) {
        if self.running.take().is_some() {
            self.restarts += 1;
            self.retry_at = Some(Instant::now());
        }
    }

    /// What stands in for an encoder that was lost, in a sentence for the operator; `None` while none was.
    pub(super) fn fallback(&self) -> Option<&str> {
        self.fallback.as_deref()
    }

    /// From here on libx264 encodes, and faults made for the lost encoder are over.
    fn fall_back(&mut self, lost: EncoderName, cause: &str) {
        warn!(encoder = %lost, cause, "the encoder is lost; libx264 takes over");
        self.fallback = Some(format!("libx264 encodes in place of {lost}, which was lost: {cause}"));
        self.job.fault = None;
        let rungs = self.job.video.iter_mut().flat_map(|video| &mut video.rungs);
        rungs.for_each(|rung| rung.settings.encoder = EncoderName::default());
    }

    /// The encoder of the rungs, unless it is the one that is always there.
    fn accelerator(&self) -> Option<EncoderName> {
        let rung = self.job.video.as_ref()?.rungs.first()?;
        Some(rung.settings.encoder).filter(|name| *name != EncoderName::default())
    }

    fn died(&mut self) -> Heard {
        let group = self.running.take().and_then(|transcoder| transcoder.group());
        if self.deaths.in_a_row + 1 >= DEATHS_BEFORE_FALLBACK
            && let Some(name) = self.accelerator()
        {
            // A driver that crashes says nothing; a second chance on the CPU costs less than what would be skipped.
            self.fall_back(name, "its process died again and again");
            self.deaths = Deaths::default();
        }
        self.restarts += 1;
        self.died_at.get_or_insert(Instant::now());
        metrics::counter!("sluice_encoder_deaths_total").increment(1);
        let (remedy, pause) = self.deaths.one_more(Instant::now(), group);
        if pause == REST {
            error!(rest = ?REST, "encoder keeps dying; the stream goes on with what needs no encoder");
        } else {
            info!(?pause, "encoder is restarted");
        }
        self.retry_at = Some(Instant::now() + pause);
        Heard::Died(remedy)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use media::{FrameRate, MediaTime, Packet, TrackId};
    use transcode::{
        Fault,
        encode::{H264Encoder, Planes, VideoSettings},
        ladder::{self, Preset, RungWish, Wishes},
        source::Probe,
    };

    use super::*;

    /// A second of a still, and a job that encodes it with `encoder`.
    fn work(encoder: EncoderName) -> (Vec<Packet>, Job) {
        let settings = VideoSettings {
            width: 320,
            height: 180,
            frame_rate: FrameRate::new(30, 1).unwrap(),
            bitrate_bps: 200_000,
            gop: 15,
            preset: Preset::Ultrafast,
        };
        let mut made = H264Encoder::open(&settings).unwrap();
        let (luma, chroma) = (vec![90; 320 * 180], vec![128; 160 * 90]);
        let planes = Planes { data: [&luma, &chroma, &chroma], stride: [320, 160, 160] };
        let mut packets: Vec<Packet> =
            (0..30).flat_map(|nth| made.encode(planes, MediaTime::from_ticks(nth * 3000)).unwrap()).collect();
        let config = made.config().clone();
        packets.extend(made.finish().unwrap());
        let rungs = vec![RungWish { height: 90, bitrate_bps: None }];
        let wishes = Wishes { encoder, rungs, ..Wishes::default() };
        let mut probe = Probe::new(&wishes);
        probe.see(&media::MediaEvent::VideoConfig(TrackId(0), config.into()));
        packets.iter().for_each(|packet| probe.see(&media::MediaEvent::Packet(packet.clone())));
        let source = probe.conclude().unwrap();
        (packets, Job::of(&ladder::plan(&source, &wishes), &source).unwrap())
    }

    /// Feeds everything, over again after a death, and tells what came before the pictures did.
    async fn run(mut encoder: Encoder, packets: &[Packet]) -> (Encoder, u32, usize) {
        let mut deaths = 0;
        'life: loop {
            encoder.start().await;
            // One that fails at once may have ended already, and takes nothing.
            for input in packets.iter().cloned().map(Input::Packet).chain([Input::Finish]) {
                encoder.offer(input);
            }
            let mut pictures = 0;
            loop {
                let heard = tokio::time::timeout(Duration::from_secs(20), encoder.hear()).await;
                match heard.expect("it says something in time") {
                    Heard::Output(Output::Finished) => return (encoder, deaths, pictures),
                    Heard::Output(Output::Video { .. }) => pictures += 1,
                    Heard::Output(_) => {}
                    Heard::Died(remedy) => {
                        assert_eq!(remedy, Remedy::None, "nothing is wrong with the pictures");
                        deaths += 1;
                        assert!(deaths < 3, "libx264 stands in at once");
                        continue 'life;
                    }
                }
            }
        }
    }

    #[tokio::test]
    async fn an_accelerator_without_a_device_is_replaced_at_once() {
        // No test machine of ours has Apple's media engine and NVIDIA's card, so one of the two is missing everywhere.
        let name =
            if cfg!(target_os = "macos") { EncoderName::H264Nvenc } else { EncoderName::H264Videotoolbox };
        let (packets, job) = work(name);
        let (encoder, deaths, pictures) = run(Encoder::new(Isolation::Thread, job), &packets).await;
        assert_eq!((deaths, pictures), (1, 30));
        let told = encoder.fallback().unwrap();
        assert!(
            told.contains("libx264") && told.contains(name.as_str()) && told.contains("built without"),
            "{told}"
        );
    }

    #[tokio::test]
    async fn an_encoder_that_is_lost_in_the_middle_is_replaced() {
        let (packets, mut job) = work(EncoderName::Libx264);
        job.fault = Some(Fault::LoseEncoderAtFrame(12));
        let (encoder, deaths, pictures) = run(Encoder::new(Isolation::Thread, job), &packets).await;
        assert_eq!((deaths, pictures), (1, 30));
        assert!(encoder.fallback().is_some_and(|told| told.contains("lost on purpose")));
    }
}
