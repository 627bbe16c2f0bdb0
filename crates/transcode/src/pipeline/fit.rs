//! A picture of any size and 8-bit or deeper format, brought to a rung's size: by reference where it is right already, else
//! scaled with a Lanczos kernel.
//!
//! zimg does it where it can, at less than half of swscale's cost; swscale takes what is left: other formats than the
//! rungs', bars around the picture, and FFmpeg built without zimg. Why Lanczos: `docs/design/encoder-settings.md`.

use tracing::warn;

use crate::av::{CodecError, Colour, Filter, Picture, Pixel, Pool, Rect, Scaler, has_filter};

/// Shapes that differ by less than this are filled without bars: rounding to even sizes makes up to 1 %.
const SAME_SHAPE: f64 = 0.015;

/// Makes the pictures of one rung.
pub(super) struct Fit {
    width: u32,
    height: u32,
    /// Built when a picture first needs scaling, and again when the pictures' kind changes.
    way: Option<(Way, Kind)>,
    pool: Pool,
}

enum Way {
    Zimg(Filter),
    Swscale(Scaler),
}

/// What a way is built for.
#[derive(Clone, Copy, PartialEq)]
struct Kind {
    size: (u32, u32),
    shown: (u32, u32),
    format: (Pixel, bool),
    colour: Colour,
}

impl Fit {
    /// For a rung of this size, both sides even.
    pub(super) fn new(width: u32, height: u32) -> Self {
        Self { width, height, way: None, pool: Pool::new(width, height) }
    }

    /// Lets go of all memory until it is needed again.
    pub(super) fn clear(&mut self) {
        self.way = None;
        self.pool.clear();
    }

    /// The picture in the rung's size and in the encoders' format.
    pub(super) fn run(&mut self, from: &Picture) -> Result<Picture, CodecError> {
        let kind = Kind {
            size: (from.width(), from.height()),
            shown: from.shown(),
            format: from.format(),
            colour: from.colour(),
        };
        let own = (self.width, self.height);
        if kind.size == own && from.is_plain() && same_shape(kind.shown, own) {
            return from.share();
        }
        if self.way.as_ref().is_none_or(|(_, built_for)| *built_for != kind) {
            self.pool.clear(); // the bars may lie elsewhere
            self.way = Some((self.choose(from), kind));
        }
        if let Some((Way::Zimg(filter), _)) = &mut self.way {
            match filter.run(from) {
                Ok(made) => return Ok(made),
                Err(error) => {
                    warn!(%error, "zimg does not take a picture, swscale goes on");
                    self.way = Some((self.swscale(from), kind));
                }
            }
        }
        let Some((Way::Swscale(scaler), _)) = &mut self.way else { unreachable!("zimg's way has returned") };
        let target = self.pool.take()?;
        scaler.run(from, target)?;
        target.share()
    }

    fn choose(&self, sample: &Picture) -> Way {
        if !sample.is_plain()
            || !same_shape(sample.shown(), (self.width, self.height))
            || !has_filter("zscale")
        {
            return self.swscale(sample);
        }
        // The pixels of rungs are square, whatever rounding says.
        let steps = format!("zscale=w={}:h={}:filter=lanczos,setsar=1", self.width, self.height);
        Filter::open(&steps, sample).map_or_else(
            |error| {
                warn!(%error, "zimg cannot be used, swscale scales");
                self.swscale(sample)
            },
            Way::Zimg,
        )
    }

    fn swscale(&self, sample: &Picture) -> Way {
        Way::Swscale(Scaler::new(placed(sample.shown(), (self.width, self.height))))
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
