#![allow(unsafe_code)]
//! FFmpeg's codecs and scaler as owning types: the one corner of Sluice with unsafe code, for what ffmpeg-next's safe
//! interface lacks (extradata, shared frames, scaling into a part of a picture, the log). One type per C object frees
//! it when dropped, and no raw pointer leaves.
//!
//! Failures name the call, the codec and FFmpeg's own text; "needs input" and "drained" are states ([`Received`]).
//! What is made of frames and packets is left to [`crate::pipeline`].

mod coding;
mod decoder;
mod demux;
mod encoder;
mod filter;
mod jpeg;
mod log;
mod picture;
mod scaler;
mod sound;

use ffmpeg_next::{codec, util::error::EAGAIN};

pub(crate) use coding::{can_decode, can_decode_audio, missing_decoders};
pub(crate) use decoder::{Deblock, VideoDecoder};
pub(crate) use demux::{Demuxer, StreamInfo, StreamKind};
pub(crate) use encoder::{Colour, EncoderSettings, VideoEncoder};
pub(crate) use ffmpeg_next::format::Pixel;
pub(crate) use filter::{Filter, has_filter};
pub(crate) use jpeg::jpeg;
pub(crate) use log::{quiet, to_stderr};
pub(crate) use picture::{Picture, Pool};
pub(crate) use scaler::{Rect, Scaler};
pub(crate) use sound::{AudioDecoder, AudioEncoder, Samples, Stereo};

/// What a codec answers when asked for output.
#[derive(Debug)]
pub(crate) enum Received<T> {
    /// Something is ready.
    Output(T),
    /// Nothing until more is put in.
    NeedsInput,
    /// Nothing ever again: the end was put in, and all has come out.
    Drained,
}

/// A call that failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{call} of {what}: {cause}")]
pub(crate) struct CodecError {
    call: &'static str,
    what: &'static str,
    cause: String,
}

impl CodecError {
    fn new(call: &'static str, what: &'static str, cause: impl ToString) -> Self {
        Self { call, what, cause: cause.to_string() }
    }

    /// The encoder of pictures that failed, if it was one.
    pub(crate) fn encoder(&self) -> Option<crate::ladder::EncoderName> {
        self.what.parse().ok()
    }

    /// For `map_err`.
    fn at(call: &'static str, what: &'static str) -> impl FnOnce(ffmpeg_next::Error) -> Self {
        move |error| Self::new(call, what, error)
    }
}

/// Sorts what `avcodec_receive_*` returned.
fn received<T>(
    result: Result<(), ffmpeg_next::Error>,
    value: impl FnOnce() -> T,
    call: &'static str,
    what: &'static str,
) -> Result<Received<T>, CodecError> {
    match result {
        Ok(()) => Ok(Received::Output(value())),
        Err(ffmpeg_next::Error::Other { errno: EAGAIN }) => Ok(Received::NeedsInput),
        Err(ffmpeg_next::Error::Eof) => Ok(Received::Drained),
        Err(error) => Err(CodecError::new(call, what, error)),
    }
}

/// Gives a codec context that is not yet open its out-of-band headers.
fn set_extradata(context: &mut codec::Context, bytes: &[u8], what: &'static str) -> Result<(), CodecError> {
    use ffmpeg_next::ffi::{AV_INPUT_BUFFER_PADDING_SIZE, av_mallocz};
    if bytes.is_empty() {
        return Ok(()); // some codecs take a pointer without bytes behind it for headers
    }
    let room = bytes.len() + AV_INPUT_BUFFER_PADDING_SIZE as usize;
    // SAFETY: the context is valid while borrowed. av_mallocz gives `room` zeroed bytes or null, which is checked; the
    // copy stays inside them. The context, not open yet, has no extradata, takes ownership, and frees it with itself.
    unsafe {
        let target = av_mallocz(room).cast::<u8>();
        if target.is_null() {
            return Err(CodecError::new("av_mallocz", what, "out of memory"));
        }
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len());
        let context = context.as_mut_ptr();
        (*context).extradata = target;
        (*context).extradata_size = bytes.len() as i32; // configurations are a few kilobytes at most
    }
    Ok(())
}

/// The out-of-band headers of an open encoder.
fn extradata(context: &codec::Context) -> Vec<u8> {
    // SAFETY: the context is valid while borrowed; a codec keeps extradata_size readable bytes at extradata, or null.
    unsafe {
        let context = context.as_ptr();
        let (at, len) = ((*context).extradata, (*context).extradata_size);
        if at.is_null() || len <= 0 {
            Vec::new()
        } else {
            std::slice::from_raw_parts(at, len as usize).to_vec()
        }
    }
}
