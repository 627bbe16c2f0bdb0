//! From one decoded frame to a picture for every rung: each from the next larger one, by reference where size and
//! format are right already.

use std::sync::Arc;

use media::{MediaTime, VideoConfig};
use tokio::sync::mpsc;

use super::{
    Ended,
    captions::Captions,
    colour,
    decode::Place,
    encode::{Encoder, Finishing, Marked},
    fit::Fit,
    normalise::Tools,
};
use crate::{
    Output, VideoJob,
    av::{Colour, Picture},
    transcoder::Progress,
};

/// All encoded rungs, largest first.
///
/// Each has an encoder only as long as it is wanted ([`crate::Transcoder::want`]): at every cut what is not wanted any
/// more is drained and closed, and what is wanted again is opened. Rungs without are passed over when scaling.
pub(super) struct Rungs {
    rungs: Vec<Rung>,
    configs: Vec<VideoConfig>,
    job: VideoJob,
    colour: Colour,
    outbox: mpsc::Sender<Output>,
    progress: Arc<Progress>,
    /// Frames have had to be repeated.
    repeats: bool,
    captions: Captions,
}

struct Rung {
    /// Every second frame is left out.
    halve: bool,
    /// The last frame was taken.
    took_last: bool,
    fit: Fit,
    /// The last picture made, once frames have had to be repeated.
    last: Option<Picture>,
    encoder: Option<Encoder>,
    /// The encoder before, which still has pictures.
    ending: Option<Finishing>,
}

impl Rungs {
    /// Opens every rung's encoder and starts its thread; those that are shed from the start are closed again, since
    /// what they would be coded in is to be known.
    pub(super) fn open(
        job: &VideoJob,
        outbox: &mpsc::Sender<Output>,
        progress: &Arc<Progress>,
    ) -> Result<Self, Ended> {
        let colour = colour::of(&job.config, Tools::here());
        let mut configs = Vec::with_capacity(job.rungs.len());
        let mut rungs = Vec::with_capacity(job.rungs.len());
        for (index, rung) in job.rungs.iter().enumerate() {
            let (encoder, config) =
                Encoder::start(index, rung, colour, outbox.clone(), Arc::clone(progress))?;
            progress.meters().rungs[index].runs(!rung.shed);
            configs.push(config);
            rungs.push(Rung {
                halve: rung.settings.halve_rate,
                took_last: false,
                fit: Fit::new(rung.width, rung.height),
                last: None,
                encoder: (!rung.shed).then_some(encoder),
                ending: None,
            });
        }
        let (outbox, progress) = (outbox.clone(), Arc::clone(progress));
        let captions = Captions::new(rungs.len());
        Ok(Self { rungs, configs, job: job.clone(), colour, outbox, progress, repeats: false, captions })
    }

    /// What is to be told right after `Ready`, where a rung starts without an encoder.
    pub(super) fn first_word(&self) -> Option<Output> {
        let shed = self.rungs.iter().any(|rung| rung.encoder.is_none());
        shed.then(|| self.word(MediaTime::from_ticks(i64::MIN)))
    }

    /// No rung has an encoder: frames are of no use.
    pub(super) fn idle(&self) -> bool {
        self.rungs.iter().all(|rung| rung.encoder.is_none())
    }

    /// Whether a rung is to have an encoder.
    pub(super) fn any_wanted(&self) -> bool {
        (0..self.rungs.len()).any(|rung| self.progress.wants(rung))
    }

    fn word(&self, from: MediaTime) -> Output {
        let runs = |rung: &usize| self.rungs[*rung].encoder.is_some();
        let by = (0..self.rungs.len()).map(|rung| (rung..self.rungs.len()).find(runs)).collect();
        Output::Rungs { from, by, video: self.configs.clone() }
    }

    /// At a cut: closes the encoders that are not wanted any more, and opens those that are wanted again.
    fn settle(&mut self, at: i64) -> Result<(), Ended> {
        let mut closed = Vec::new();
        let mut changed = false;
        let runs = |rung: &usize| self.rungs[*rung].encoder.is_some();
        let stood_in: Vec<_> =
            (0..self.rungs.len()).map(|rung| (rung + 1..self.rungs.len()).find(runs)).collect();
        for (index, rung) in self.rungs.iter_mut().enumerate() {
            if let Some(ended) = rung.ending.take_if(|ending| ending.is_done()) {
                ended.join()?;
            }
            let wanted = self.progress.wants(index);
            if wanted && rung.encoder.is_none() && rung.ending.is_none() {
                let job = &self.job.rungs[index];
                match Encoder::start(index, job, self.colour, self.outbox.clone(), Arc::clone(&self.progress))
                {
                    Ok((encoder, config)) => {
                        self.configs[index] = config;
                        rung.encoder = Some(encoder);
                        rung.took_last = false;
                        self.captions.follow(index, stood_in[index], at);
                        changed = true;
                    }
                    // It stays as it is, and is tried again at the next cut.
                    Err(error) => tracing::warn!(rung = job.name, %error, "a rung cannot be taken up again"),
                }
            } else if !wanted && let Some(encoder) = rung.encoder.take() {
                closed.push((index, encoder));
                changed = true;
            }
            self.progress.meters().rungs[index].runs(rung.encoder.is_some());
        }
        if changed {
            // Before the closed ones' last pictures, and before any picture from here on.
            let word = self.word(MediaTime::from_ticks(at));
            self.outbox.blocking_send(word).map_err(|_| Ended::Abandoned)?;
        }
        for (index, encoder) in closed {
            self.rungs[index].ending = Some(encoder.finish());
            self.rungs[index].last = None;
            self.rungs[index].fit.clear();
        }
        Ok(())
    }

    /// The parameter sets of each rung.
    pub(super) fn configs(&self) -> &[VideoConfig] {
        &self.configs
    }

    /// What takes the captions of decoded pictures, for the pictures of the rungs.
    pub(super) fn captions(&mut self) -> &mut Captions {
        &mut self.captions
    }

    /// Makes the frame's picture for every rung that takes it. Waits while an encoder is busy.
    pub(super) fn push(&mut self, picture: &Picture, place: Place) -> Result<(), Ended> {
        if place.cut {
            self.settle(place.pts)?;
        }
        let wanted: Vec<bool> = self.rungs.iter_mut().map(|rung| rung.wants(place)).collect();
        let mut larger: Option<Picture> = None;
        for (index, rung) in self.rungs.iter_mut().enumerate() {
            if !wanted[index..].contains(&true) {
                break;
            }
            if rung.encoder.is_none() {
                continue;
            }
            // Also where only a smaller rung wants it: scaling from the next larger is what makes it cheap.
            let meter = &self.progress.meters().rungs[index];
            let mut made = meter.time(|| rung.fit.run(larger.as_ref().unwrap_or(picture)))?;
            if self.repeats {
                rung.last = Some(made.share()?);
            }
            if wanted[index] {
                let shared = made.share()?;
                made.mark(place.pts, place.cut);
                if let Some(encoder) = &mut rung.encoder {
                    made.put_captions(&self.captions.hand_out(index, place.pts))?;
                    encoder.push(Marked(made))?;
                }
                larger = Some(shared);
            } else {
                larger = Some(made);
            }
        }
        Ok(())
    }

    /// Whether a segment can open at a repeat: every rung has a picture to open it with.
    pub(super) fn all_can_repeat(&self) -> bool {
        self.rungs.iter().all(|rung| rung.last.is_some())
    }

    /// Shows the last picture again: no pixel is touched. What is attached to it, such as captions, is not said twice. The
    /// first time that this is asked for there is nothing to show yet: pictures are kept only where it happens.
    pub(super) fn repeat(&mut self, place: Place) -> Result<(), Ended> {
        self.repeats = true;
        if place.cut {
            self.settle(place.pts)?;
        }
        for rung in &mut self.rungs {
            let wanted = rung.wants(place);
            if let (true, Some(last), Some(encoder)) = (wanted, &rung.last, &mut rung.encoder) {
                let mut again = last.share_bare()?;
                again.mark(place.pts, place.cut);
                encoder.push(Marked(again))?;
            }
        }
        Ok(())
    }

    /// Everything that the encoders hold comes out; their threads end.
    pub(super) fn finish(self) -> Result<(), Ended> {
        // All are told before any is waited for, so that they finish side by side.
        let ending: Vec<_> = self
            .rungs
            .into_iter()
            .flat_map(|rung| [rung.ending, rung.encoder.map(Encoder::finish)])
            .flatten()
            .collect();
        ending.into_iter().try_for_each(|encoder| encoder.join())
    }
}

impl Rung {
    /// A halved rung takes every second frame, and every frame that opens a segment.
    fn wants(&mut self, place: Place) -> bool {
        if self.encoder.is_none() {
            return false;
        }
        let wanted = !self.halve || place.cut || !self.took_last;
        self.took_last = wanted;
        wanted
    }
}
