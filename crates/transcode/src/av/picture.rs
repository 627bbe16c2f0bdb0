//! Decoded pictures: reference-counted, so that a rung, the next rung's scaler and an encoder share one.

use ffmpeg_next::{
    color,
    ffi::{self, AVPictureType},
    format::Pixel,
    frame,
};

use super::CodecError;

/// A decoded picture. Its pixels may be shared; its times and marks are its own.
pub(crate) struct Picture(frame::Video);

/// Black in limited-range YUV.
const BLACK: [u8; 3] = [16, 128, 128];

impl Picture {
    pub(super) fn empty() -> Self {
        Self(frame::Video::empty())
    }

    /// A black 8-bit 4:2:0 picture.
    pub(crate) fn black(width: u32, height: u32) -> Result<Self, CodecError> {
        let mut frame = frame::Video::empty();
        frame.set_format(Pixel::YUV420P);
        frame.set_width(width);
        frame.set_height(height);
        // SAFETY: the frame is valid and owned, with format and size set and no buffers yet; it owns what it gets.
        let code = unsafe { ffi::av_frame_get_buffer(frame.as_mut_ptr(), 0) };
        if code < 0 {
            return Err(CodecError::new("av_frame_get_buffer", "picture", ffmpeg_next::Error::from(code)));
        }
        for (plane, value) in BLACK.into_iter().enumerate() {
            frame.data_mut(plane).fill(value);
        }
        Ok(Self(frame))
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

    pub(crate) fn width(&self) -> u32 {
        self.0.width()
    }

    pub(crate) fn height(&self) -> u32 {
        self.0.height()
    }

    /// Pixel format without the old full-range variants, and whether the range is full.
    pub(super) fn format(&self) -> (Pixel, bool) {
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

    /// Whether the decoder had to make parts of it up.
    pub(crate) fn is_damaged(&self) -> bool {
        self.0.is_corrupt() || self.0.has_decode_errors()
    }

    /// A plane's bytes, rows [`Self::stride`] apart.
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
