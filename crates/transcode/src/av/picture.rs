//! Decoded pictures: reference-counted, so that a rung, the next rung's scaler and an encoder share one.

use ffmpeg_next::{
    color,
    ffi::{self, AVFrameSideDataType, AVPictureType},
    format::Pixel,
    frame::{self, side_data},
};

use super::{CodecError, Colour};
use crate::source::Turn;

/// A decoded picture. Its pixels may be shared; its times and marks are its own.
pub(crate) struct Picture(frame::Video);

/// Black in limited-range YUV.
const BLACK: [u8; 3] = [16, 128, 128];

impl Picture {
    pub(super) fn empty() -> Self {
        Self(frame::Video::empty())
    }

    pub(super) fn of(frame: frame::Video) -> Self {
        Self(frame)
    }

    /// A black 8-bit 4:2:0 picture.
    pub(crate) fn black(width: u32, height: u32) -> Result<Self, CodecError> {
        let mut picture = Self::blank(Pixel::YUV420P, width, height)?;
        for (plane, value) in BLACK.into_iter().enumerate() {
            picture.0.data_mut(plane).fill(value);
        }
        Ok(picture)
    }

    /// A picture with pixels of no certain value.
    fn blank(format: Pixel, width: u32, height: u32) -> Result<Self, CodecError> {
        let mut frame = frame::Video::empty();
        frame.set_format(format);
        frame.set_width(width);
        frame.set_height(height);
        // SAFETY: the frame is valid and owned, with format and size set and no buffers yet; it owns what it gets.
        let code = unsafe { ffi::av_frame_get_buffer(frame.as_mut_ptr(), 0) };
        if code < 0 {
            return Err(CodecError::new("av_frame_get_buffer", "picture", ffmpeg_next::Error::from(code)));
        }
        Ok(Self(frame))
    }

    /// The same picture, 8-bit 4:2:0, with its two colour planes woven into one, as most accelerators want it.
    pub(super) fn to_nv12(&self) -> Result<Self, CodecError> {
        let (width, height) = (self.width(), self.height());
        let mut woven = Self::blank(Pixel::NV12, width, height)?;
        let (width, rows) = (width as usize, height as usize);
        let (from, to) = (self.stride(0), woven.stride(0));
        for (source, target) in self.0.data(0).chunks(from).zip(woven.0.data_mut(0).chunks_mut(to)).take(rows)
        {
            target[..width].copy_from_slice(&source[..width]);
        }
        let (blue, red, to) = (self.stride(1), self.stride(2), woven.stride(1));
        let pairs = self.0.data(1).chunks(blue).zip(self.0.data(2).chunks(red));
        for ((blue, red), target) in pairs.zip(woven.0.data_mut(1).chunks_mut(to)).take(rows.div_ceil(2)) {
            let samples = blue.iter().zip(red).take(width.div_ceil(2));
            for (pair, (blue, red)) in target.chunks_exact_mut(2).zip(samples) {
                pair.copy_from_slice(&[*blue, *red]);
            }
        }
        // SAFETY: both frames are valid; times and marks are copied, pixels are not touched.
        let code = unsafe { ffi::av_frame_copy_props(woven.0.as_mut_ptr(), self.0.as_ptr()) };
        match code {
            0.. => Ok(woven),
            _ => Err(CodecError::new("av_frame_copy_props", "picture", ffmpeg_next::Error::from(code))),
        }
    }

    /// Another handle on the same pixels.
    pub(crate) fn share(&self) -> Result<Self, CodecError> {
        let mut other = frame::Video::empty();
        // SAFETY: both frames are valid, the target is empty; it gets references of its own to the buffers.
        let code = unsafe { ffi::av_frame_ref(other.as_mut_ptr(), self.0.as_ptr()) };
        match code {
            0.. => Ok(Self(other)),
            _ => Err(CodecError::new("av_frame_ref", "picture", ffmpeg_next::Error::from(code))),
        }
    }

    /// The same without what is attached: captions and user data.
    pub(crate) fn share_bare(&self) -> Result<Self, CodecError> {
        let mut other = self.share()?;
        for kind in [side_data::Type::A53CC, side_data::Type::SEI_UNREGISTERED] {
            other.0.remove_side_data(kind);
        }
        Ok(other)
    }

    /// Whether nobody else holds the pixels.
    pub(super) fn is_alone(&mut self) -> bool {
        // SAFETY: the frame is valid; the call only reads reference counts, which are atomic.
        unsafe { ffi::av_frame_is_writable(self.0.as_mut_ptr()) == 1 }
    }

    /// Presentation time as the decoder found it on the packet.
    pub(crate) fn pts(&self) -> Option<i64> {
        self.0.pts()
    }

    /// Marks the picture for an encoder: when it is shown, and whether it must be an IDR picture.
    pub(crate) fn mark(&mut self, pts: i64, idr: bool) {
        self.0.set_pts(Some(pts));
        let kind = if idr { AVPictureType::AV_PICTURE_TYPE_I } else { AVPictureType::AV_PICTURE_TYPE_NONE };
        // SAFETY: a plain field of a valid frame that is owned here.
        unsafe { (*self.0.as_mut_ptr()).pict_type = kind };
    }

    /// Whether it was marked to be an IDR picture.
    pub(super) fn is_marked_idr(&self) -> bool {
        // SAFETY: a plain field of a valid frame.
        unsafe { (*self.0.as_ptr()).pict_type == AVPictureType::AV_PICTURE_TYPE_I }
    }

    /// Takes closed captions off the picture: cc_data's triplets, none when it has none (ATSC A/53 part 4 §6.2.3).
    pub(crate) fn take_captions(&mut self) -> Vec<u8> {
        let bytes = self.0.side_data(side_data::Type::A53CC).map(|held| held.data().to_vec());
        if bytes.is_some() {
            self.0.remove_side_data(side_data::Type::A53CC);
        }
        bytes.unwrap_or_default()
    }

    /// Gives the picture these captions, for encoders that write them. It must have none.
    pub(crate) fn put_captions(&mut self, triplets: &[u8]) -> Result<(), CodecError> {
        if triplets.is_empty() {
            return Ok(());
        }
        // SAFETY: the frame is valid and owned; it gets a buffer of its own of this size, which is written whole.
        unsafe {
            let kind = AVFrameSideDataType::AV_FRAME_DATA_A53_CC;
            let held = ffi::av_frame_new_side_data(self.0.as_mut_ptr(), kind, triplets.len() as _);
            if held.is_null() {
                return Err(CodecError::new("av_frame_new_side_data", "picture", "out of memory"));
            }
            std::ptr::copy_nonoverlapping(triplets.as_ptr(), (*held).data, triplets.len());
        }
        Ok(())
    }

    pub(crate) fn width(&self) -> u32 {
        self.0.width()
    }

    pub(crate) fn height(&self) -> u32 {
        self.0.height()
    }

    /// Pixel format without the old full-range variants, and whether the range is full.
    pub(crate) fn format(&self) -> (Pixel, bool) {
        let full = self.0.color_range() == color::Range::JPEG;
        match self.0.format() {
            Pixel::YUVJ420P => (Pixel::YUV420P, true),
            Pixel::YUVJ422P => (Pixel::YUV422P, true),
            Pixel::YUVJ444P => (Pixel::YUV444P, true),
            format => (format, full),
        }
    }

    /// Whether it can go to an encoder as it is.
    pub(crate) fn is_plain(&self) -> bool {
        self.format() == (Pixel::YUV420P, false)
    }

    /// Width to height of one pixel; square where nothing sensible is said.
    pub(crate) fn aspect(&self) -> (u32, u32) {
        let ratio = self.0.aspect_ratio();
        let positive = |side: i32| u32::try_from(side).ok().filter(|side| *side > 0);
        match (positive(ratio.numerator()), positive(ratio.denominator())) {
            (Some(num), Some(den)) if media::h264::is_sensible_aspect(num, den) => (num, den),
            _ => (1, 1),
        }
    }

    /// Width and height as shown, in square pixels.
    pub(crate) fn shown(&self) -> (u32, u32) {
        media::h264::shown((self.width(), self.height()), self.aspect())
    }

    /// Whether its lines are of two instants.
    pub(crate) fn is_interlaced(&self) -> bool {
        self.0.is_interlaced()
    }

    /// What the decoder found said of its colours.
    pub(crate) fn colour(&self) -> Colour {
        // SAFETY: plain fields of a valid frame, read as the numbers that they are, whatever these may be.
        let (primaries, transfer, matrix) = unsafe {
            let frame = self.0.as_ptr();
            (
                (&raw const (*frame).color_primaries).cast::<u32>().read(),
                (&raw const (*frame).color_trc).cast::<u32>().read(),
                (&raw const (*frame).colorspace).cast::<u32>().read(),
            )
        };
        // ITU-T H.273's numbers, which are small; 2 is unspecified
        let code = |number: u32| u8::try_from(number).unwrap_or(2);
        Colour { primaries: code(primaries), transfer: code(transfer), matrix: code(matrix) }
    }

    /// How it is to be turned before it is shown, if it says so itself.
    pub(crate) fn turn(&self) -> Option<Turn> {
        let side = self.0.side_data(side_data::Type::DisplayMatrix)?;
        let entry = |nth: usize| {
            let bytes = side.data().get(nth * 4..nth * 4 + 4)?;
            Some(i32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        };
        match [0, 1, 3, 4].map(entry) {
            [Some(a), Some(b), Some(c), Some(d)] => Some(Turn::of_matrix([a, b, c, d])),
            _ => None,
        }
    }

    /// Whether it holds red, green and blue.
    pub(crate) fn is_rgb(&self) -> bool {
        super::scaler::is_rgb(self.0.format())
    }

    /// Whether the decoder had to make parts of it up.
    pub(crate) fn is_damaged(&self) -> bool {
        self.0.is_corrupt() || self.0.has_decode_errors()
    }

    /// A plane's bytes, rows [`Self::stride`] apart.
    pub(crate) fn plane(&self, plane: usize) -> &[u8] {
        self.0.data(plane)
    }

    /// The same, to be written.
    pub(crate) fn plane_mut(&mut self, plane: usize) -> &mut [u8] {
        self.0.data_mut(plane)
    }

    pub(crate) fn stride(&self, plane: usize) -> usize {
        self.0.stride(plane)
    }

    pub(super) fn frame(&self) -> &frame::Video {
        &self.0
    }

    pub(super) fn frame_mut(&mut self) -> &mut frame::Video {
        &mut self.0
    }
}

/// Pictures of one size, used again when encoder and scalers have let go of them: memory that was written once costs
/// no page faults.
pub(crate) struct Pool {
    width: u32,
    height: u32,
    pictures: Vec<Picture>,
}

impl Pool {
    pub(crate) fn new(width: u32, height: u32) -> Self {
        Self { width, height, pictures: Vec::new() }
    }

    /// A picture that nobody else holds; black when new, else with what was last in it. Hand [`Picture::share`]s of it
    /// on, and it comes back by itself when those are gone. The pool grows to as many as are in use at once, which the
    /// queues behind it bound.
    pub(crate) fn take(&mut self) -> Result<&mut Picture, CodecError> {
        let free = match self.pictures.iter_mut().position(Picture::is_alone) {
            Some(free) => free,
            None => {
                self.pictures.push(Picture::black(self.width, self.height)?);
                self.pictures.len() - 1
            }
        };
        Ok(&mut self.pictures[free])
    }

    /// Forgets the pictures, so that new ones are black: what lies around the image changes.
    pub(crate) fn clear(&mut self) {
        self.pictures.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_woven_and_marks_kept() {
        let mut picture = Picture::black(6, 4).unwrap();
        for (plane, rows) in [(0, 4), (1, 2), (2, 2)] {
            let stride = picture.stride(plane);
            for row in 0..rows {
                for column in 0..if plane == 0 { 6 } else { 3 } {
                    picture.plane_mut(plane)[row * stride + column] = (plane * 100 + row * 10 + column) as u8;
                }
            }
        }
        picture.mark(4711, true);
        let woven = picture.to_nv12().unwrap();
        assert_eq!((woven.format().0, woven.pts(), woven.is_marked_idr()), (Pixel::NV12, Some(4711), true));
        assert_eq!(woven.0.data(0)[woven.stride(0)..][..6], [10, 11, 12, 13, 14, 15]);
        assert_eq!(woven.0.data(1)[..6], [100, 200, 101, 201, 102, 202]);
        assert_eq!(woven.0.data(1)[woven.stride(1)..][..6], [110, 210, 111, 211, 112, 212]);
    }

    #[test]
    fn captions_go_where_they_are_put() {
        let mut picture = Picture::black(64, 64).unwrap();
        let mut other = picture.share().unwrap();
        picture.put_captions(&[0xFC, 0x94, 0x20]).unwrap();
        assert_eq!(
            picture.share().unwrap().take_captions(),
            [0xFC, 0x94, 0x20],
            "later shares have them, too"
        );
        assert_eq!(picture.take_captions(), [0xFC, 0x94, 0x20]);
        assert!(picture.take_captions().is_empty(), "taken once");
        assert!(other.take_captions().is_empty(), "earlier shares have none");
        other.put_captions(&[]).unwrap();
        assert!(other.take_captions().is_empty());
    }
}
