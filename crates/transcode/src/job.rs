//! What a transcoder is asked to make: everything it must know, in a form that crosses a process boundary.

use std::{sync::Arc, time::Duration};

use media::{AudioConfig, FrameRate, TrackId, VideoConfig};
use serde::{Deserialize, Serialize};

use crate::{
    StillsJob,
    ladder::{AudioPlan, AudioSettings, EncodeSettings, Plan, Treatment},
    source::{Source, VideoSource},
    worker::Sandbox,
};

/// Address space that a worker may take unless told otherwise: about ten times what a 1080p ladder needs, most of it
/// for thread stacks and libraries that are mapped and never touched.
const DEFAULT_MEMORY_LIMIT: u64 = 2 << 30;
/// A picture takes a twentieth of this where a machine is a tenth as fast as it should be.
const DEFAULT_PATIENCE: Duration = Duration::from_secs(2);

/// One transcoder's work: which tracks come in, and what is made of them.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Job {
    /// The picture, when any rung of it is encoded.
    pub video: Option<VideoJob>,
    /// The tracks of sound that are encoded.
    pub audio: Vec<AudioJob>,
    /// Address space of a worker process, in bytes (RLIMIT_AS). Not used in a thread.
    pub memory_limit: u64,
    /// Makes the transcoder misbehave; for tests of what is around it.
    #[doc(hidden)]
    pub fault: Option<Fault>,
    /// How far a worker process is shut in. Not used in a thread.
    pub sandbox: Sandbox,
    /// A worker process that has inputs and takes none of them for so long is hung: it is killed. Not used in a thread.
    pub patience: Duration,
    /// Stills of the picture; they come from the same decoder. With no rung in [`Self::video`] they are all that is made.
    pub stills: Option<StillsJob>,
}

/// Picture work.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct VideoJob {
    /// The track that is decoded; packets of others are ignored.
    pub track: TrackId,
    /// Configuration of the packets that come in.
    pub config: Arc<VideoConfig>,
    /// Frames a second that come in, as far as known.
    pub frame_rate: Option<FrameRate>,
    /// What to encode, largest first.
    pub rungs: Vec<VideoRung>,
}

/// One encoded rung of the picture.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct VideoRung {
    /// Its name, such as `720p`; names the thread and the log span.
    pub name: String,
    /// Width that comes out, even. The picture keeps its aspect; what is left over is black.
    pub width: u32,
    /// Height that comes out, even.
    pub height: u32,
    /// Frames a second that come out.
    pub frame_rate: Option<FrameRate>,
    /// How it is encoded.
    pub settings: EncodeSettings,
    /// It starts without an encoder, until [`crate::Transcoder::want`] asks for it.
    #[serde(default)]
    pub shed: bool,
}

/// Sound work.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct AudioJob {
    /// The track that is decoded; what is made of it bears the same number.
    pub track: TrackId,
    /// Configuration of the packets that come in.
    pub config: Arc<AudioConfig>,
    /// How it is encoded.
    pub settings: AudioSettings,
}

/// What goes wrong on purpose.
#[doc(hidden)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Fault {
    /// The worker aborts when it has decoded this many frames.
    AbortAtFrame(u64),
    /// The worker stops taking input, for ever, when it has decoded this many frames.
    HangAtFrame(u64),
    /// When it has decoded this many frames, the decoding thread tries to get out of the worker, and tells how that went
    /// as [`crate::Output::Tried`].
    BreakOutAtFrame(u64),
    /// Packets that hold a mark, [`FAULT_MARK`] and a word behind it, make the transcoder do what the word says.
    ObeyMarks,
    /// The first rung's encoder gives up when so many frames were decoded, as one does whose device is lost.
    LoseEncoderAtFrame(u64),
}

/// See [`Fault::ObeyMarks`]. Words: `abort.`, `hang.`, `panic.`, `eat.` (memory, to the limit), `time.`, `rung.`, `flood.`
/// (outputs that cannot be).
#[doc(hidden)]
pub const FAULT_MARK: &[u8] = b"sluice-fault:";

impl Job {
    /// The encoding that `plan` asks for; `None` when it copies everything.
    pub fn of(plan: &Plan, source: &Source) -> Option<Self> {
        let rungs: Vec<VideoRung> = plan
            .rungs
            .iter()
            .filter_map(|rung| match &rung.treatment {
                Treatment::Copy | Treatment::Blank(_) => None,
                Treatment::Encode(settings) => Some(VideoRung {
                    name: rung.name.clone(),
                    width: rung.width,
                    height: rung.height,
                    frame_rate: rung.frame_rate,
                    settings: settings.clone(),
                    shed: false,
                }),
            })
            .collect();
        let feed = plan.rungs.iter().find(|rung| rung.is_encoded()).map(|rung| rung.track);
        let video = source.pictures().find(|video| Some(video.track) == feed).map(|video| VideoJob {
            track: video.track,
            config: Arc::clone(&video.config),
            frame_rate: video.frame_rate,
            rungs,
        });
        let others = plan.alternates.iter().map(|alternate| (alternate.sound.track, &alternate.audio));
        let audio: Vec<AudioJob> = [(plan.sound.track, &plan.audio)]
            .into_iter()
            .chain(others)
            .filter_map(|(track, audio)| {
                let AudioPlan::Encode(settings) = audio else { return None };
                let source = source.sounds().find(|audio| audio.track == track)?;
                Some(AudioJob { track, config: Arc::clone(&source.config), settings: settings.clone() })
            })
            .collect();
        (video.is_some() || !audio.is_empty()).then_some(Self {
            video,
            audio,
            memory_limit: DEFAULT_MEMORY_LIMIT,
            fault: None,
            sandbox: Sandbox::Auto,
            patience: DEFAULT_PATIENCE,
            stills: None,
        })
    }

    /// Stills of a track whose pictures are all copied, and nothing else. Its input is keyframes: each is decoded by
    /// itself.
    pub fn stills(video: &VideoSource, stills: StillsJob) -> Self {
        Self {
            video: Some(VideoJob {
                track: video.track,
                config: Arc::clone(&video.config),
                frame_rate: video.frame_rate,
                rungs: Vec::new(),
            }),
            audio: Vec::new(),
            memory_limit: DEFAULT_MEMORY_LIMIT,
            fault: None,
            sandbox: Sandbox::Auto,
            patience: DEFAULT_PATIENCE,
            stills: Some(stills),
        }
    }
}
