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
    normalise::Tools,
};
use crate::{
    Output, VideoJob,
    av::{CodecError, Colour, Picture, Pool, Rect, Scaler},
    transcoder::Progress,
};

/// Shapes that differ by less than this are filled without bars: rounding to even sizes makes up to 1 %.
const SAME_SHAPE: f64 = 0.015;

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
    width: u32,
    height: u32,
    /// Every second frame is left out.
    halve: bool,
    /// The last frame was taken.
    took_last: bool,
    /// Built when a frame first needs scaling, and again when the frames' size or shape changes.
    scaler: Option<(Scaler, [(u32, u32); 2])>,
    pool: Pool,
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
                width: rung.width,
                height: rung.height,
                halve: rung.settings.halve_rate,
                took_last: false,
                scaler: None,
                pool: Pool::new(rung.width, rung.height),
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
            self.rungs[index].scaler = None;
            self.rungs[index].last = None;
            self.rungs[index].pool.clear();
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
            let mut made = meter.time(|| rung.fit(larger.as_ref().unwrap_or(picture)))?;
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

    fn fit(&mut self, from: &Picture) -> Result<Picture, CodecError> {
        let (size, shown) = ((from.width(), from.height()), from.shown());
        let own = (self.width, self.height);
        if size == own && from.is_plain() && same_shape(shown, own) {
            return from.share();
        }
        if self.scaler.as_ref().is_none_or(|(_, built_for)| *built_for != [size, shown]) {
            let into = placed(shown, own);
            self.pool.clear(); // the bars may lie elsewhere
            self.scaler = Some((Scaler::new(into), [size, shown]));
        }
        let (scaler, _) = self.scaler.as_mut().expect("built above");
        let target = self.pool.take()?;
        scaler.run(from, target)?;
        target.share()
    }
}

fn shape((width, height): (u32, u32)) -> f64 {
    f64::from(width) / f64::from(height.max(1))
}

fn same_shape(one: (u32, u32), other: (u32, u32)) -> bool {
    (shape(one) / shape(other) - 1.0).abs() < SAME_SHAPE
}

/// Where a picture of one size, in square pixels, lies in one of another: filling it where the shapes agree, else with its own shape, in
/// the middle, on even pixels.
fn placed(size: (u32, u32), (into_width, into_height): (u32, u32)) -> Rect {
    let (from, into) = (shape(size), shape((into_width, into_height)));
    if same_shape(size, (into_width, into_height)) {
        return Rect { x: 0, y: 0, width: into_width, height: into_height };
    }
    let even = |size: f64, limit: u32| (((size / 2.0).round() as u32) * 2).clamp(2, limit);
    let (width, height) = if from > into {
        (into_width, even(f64::from(into_width) / from, into_height))
    } else {
        (even(f64::from(into_height) * from, into_width), into_height)
    };
    let middle = |inner: u32, outer: u32| (outer - inner) / 4 * 2;
    Rect { x: middle(width, into_width), y: middle(height, into_height), width, height }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_keep_their_shape() {
        for (name, from, into, want) in [
            ("same shape", (1920, 1080), (1280, 720), (0, 0, 1280, 720)),
            ("rounded to even", (1280, 720), (854, 480), (0, 0, 854, 480)),
            ("4:3 into 16:9", (640, 480), (1280, 720), (160, 0, 960, 720)),
            ("16:9 into 4:3", (1280, 720), (640, 480), (0, 60, 640, 360)),
            ("portrait into landscape", (720, 1280), (1280, 720), (436, 0, 406, 720)),
            ("a line", (4000, 2), (640, 360), (0, 178, 640, 2)),
        ] {
            let got = placed(from, into);
            assert_eq!((got.x, got.y, got.width, got.height), want, "{name}");
        }
    }

    proptest::proptest! {
        #[test]
        fn every_picture_fits(w in 1u32..9000, h in 1u32..9000, ow in 1u32..2000, oh in 1u32..2000) {
            let (ow, oh) = (ow * 2, oh * 2);
            let rect = placed((w, h), (ow, oh));
            proptest::prop_assert!(rect.x + rect.width <= ow && rect.y + rect.height <= oh);
            proptest::prop_assert!([rect.x, rect.y, rect.width, rect.height].iter().all(|side| side % 2 == 0));
            proptest::prop_assert!(rect.width > 0 && rect.height > 0);
        }
    }
}
