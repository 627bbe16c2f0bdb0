//! swscale: any decoded picture into a rectangle of an 8-bit 4:2:0 one.

use std::ptr::{self, NonNull};

use ffmpeg_next::{
    ffi::{self, AVPixelFormat, SwsContext},
    format::Pixel,
};

use super::{CodecError, Picture};

/// A rectangle in a picture, all even.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Rect {
    pub(crate) x: u32,
    pub(crate) y: u32,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// What a scaler was built for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct From {
    format: Pixel,
    full_range: bool,
    width: u32,
    height: u32,
}

/// A Lanczos scaler to one rectangle; built anew when the pictures that come change.
pub(crate) struct Scaler {
    context: Option<(NonNull<SwsContext>, From)>,
    into: Rect,
}

// SAFETY: a context has no ties to the thread that made it, and is only ever used through `&mut self`.
unsafe impl Send for Scaler {}

const WHAT: &str = "scaler";

impl Scaler {
    pub(crate) fn new(into: Rect) -> Self {
        Self { context: None, into }
    }

    /// Scales `from` into the rectangle of `to`; range, depth and chroma are converted on the way.
    pub(crate) fn run(&mut self, from: &Picture, to: &mut Picture) -> Result<(), CodecError> {
        let into = self.into;
        let whole = into.x + into.width <= to.width() && into.y + into.height <= to.height();
        if !whole || !to.is_plain() || !to.is_alone() {
            return Err(CodecError::new("run", WHAT, format!("{into:?} does not lie in the picture")));
        }
        let context = self.context_for(from)?;
        let target = [
            to.frame().stride(0) * into.y as usize + into.x as usize,
            to.frame().stride(1) * (into.y / 2) as usize + (into.x / 2) as usize,
            to.frame().stride(2) * (into.y / 2) as usize + (into.x / 2) as usize,
        ];
        // SAFETY: the context was built for exactly this input format and size and this output size. Both frames are
        // valid and own their planes; `to` is 4:2:0, alone on its buffers, and holds the rectangle (checked above), so
        // that the three offset pointers and everything swscale writes behind them lie inside its planes.
        let rows = unsafe {
            let (source, frame) = (from.frame().as_ptr(), to.frame_mut().as_mut_ptr());
            let mut data = [ptr::null_mut(); 4];
            for (plane, offset) in target.into_iter().enumerate() {
                data[plane] = (*frame).data[plane].add(offset);
            }
            ffi::sws_scale(
                context.as_ptr(),
                (*source).data.as_ptr().cast(),
                (*source).linesize.as_ptr(),
                0,
                from.height() as i32,
                data.as_ptr(),
                (*frame).linesize.as_ptr(),
            )
        };
        if rows <= 0 {
            return Err(CodecError::new("sws_scale", WHAT, ffmpeg_next::Error::from(rows)));
        }
        Ok(())
    }

    #[allow(clippy::unnecessary_cast, reason = "FFmpeg 8 makes an enumeration of these constants")]
    fn context_for(&mut self, picture: &Picture) -> Result<NonNull<SwsContext>, CodecError> {
        let (format, full_range) = picture.format();
        let from = From { format, full_range, width: picture.width(), height: picture.height() };
        if let Some((context, built_for)) = self.context
            && built_for == from
        {
            return Ok(context);
        }
        self.free();
        let rgb = is_rgb(format);
        // SAFETY: sizes and formats come from a decoded picture and a checked rectangle; null filters and parameters
        // stand for the defaults. The coefficient tables are statics of the library.
        let context = unsafe {
            let context = ffi::sws_getContext(
                from.width as i32,
                from.height as i32,
                AVPixelFormat::from(format),
                self.into.width as i32,
                self.into.height as i32,
                AVPixelFormat::AV_PIX_FMT_YUV420P,
                ffi::SWS_LANCZOS as i32,
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null(),
            );
            let context = NonNull::new(context)
                .ok_or_else(|| CodecError::new("sws_getContext", WHAT, format!("does not take {from:?}")))?;
            // YUV keeps its matrix whatever is named here; what was RGB becomes BT.709, as it is declared.
            let table =
                ffi::sws_getCoefficients(if rgb { ffi::SWS_CS_ITU709 } else { ffi::SWS_CS_DEFAULT } as i32);
            let full = i32::from(full_range || rgb);
            ffi::sws_setColorspaceDetails(context.as_ptr(), table, full, table, 0, 0, 1 << 16, 1 << 16);
            context
        };
        self.context = Some((context, from));
        Ok(context)
    }

    fn free(&mut self) {
        if let Some((context, _)) = self.context.take() {
            // SAFETY: made by sws_getContext, taken out, so freed once.
            unsafe { ffi::sws_freeContext(context.as_ptr()) }
        }
    }
}

/// Whether a format holds red, green and blue.
#[allow(clippy::unnecessary_cast, reason = "FFmpeg 8 makes an enumeration of these constants")]
pub(super) fn is_rgb(format: Pixel) -> bool {
    // SAFETY: the library's table of formats, static; null for a format that it does not know.
    unsafe {
        let descriptor = ffi::av_pix_fmt_desc_get(AVPixelFormat::from(format));
        !descriptor.is_null() && (*descriptor).flags & ffi::AV_PIX_FMT_FLAG_RGB as u64 != 0
    }
}

impl Drop for Scaler {
    fn drop(&mut self) {
        self.free();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn white(width: u32, height: u32) -> Picture {
        let mut picture = Picture::black(width, height).unwrap();
        picture.plane_mut(0).fill(235);
        picture
    }

    fn luma(picture: &Picture, x: usize, y: usize) -> u8 {
        picture.frame().data(0)[y * picture.stride(0) + x]
    }

    #[test]
    fn only_the_rectangle_is_written() {
        let mut to = Picture::black(320, 240).unwrap();
        let rect = Rect { x: 40, y: 60, width: 200, height: 100 };
        Scaler::new(rect).run(&white(640, 320), &mut to).unwrap();
        for (x, y, inside) in [
            (40, 60, true),
            (239, 159, true),
            (39, 60, false),
            (40, 59, false),
            (240, 159, false),
            (239, 160, false),
        ] {
            assert_eq!(luma(&to, x, y) > 200, inside, "{x},{y}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut to = Picture::black(320, 240).unwrap();
        let rect = Rect { x: 160, y: 0, width: 200, height: 100 };
        assert!(Scaler::new(rect).run(&white(64, 64), &mut to).is_err());
        let shared = to.share().unwrap();
        let whole = Rect { x: 0, y: 0, width: 320, height: 240 };
        assert!(Scaler::new(whole).run(&white(64, 64), &mut to).is_err(), "shared with someone");
        drop(shared);
        Scaler::new(whole).run(&white(64, 64), &mut to).unwrap();
    }

    #[test]
    fn a_scaler_follows_its_input() {
        let mut to = Picture::black(160, 120).unwrap();
        let mut scaler = Scaler::new(Rect { x: 0, y: 0, width: 160, height: 120 });
        for size in [(640, 480), (320, 240), (2, 2), (160, 120)] {
            scaler.run(&white(size.0, size.1), &mut to).unwrap();
            assert!(luma(&to, 80, 60) > 200, "{size:?}");
        }
    }
}
