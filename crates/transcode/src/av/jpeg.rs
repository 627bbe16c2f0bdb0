//! JPEG files, by FFmpeg's encoder: it is there already, opens no file, and its transform is vectorised.

use bytes::Bytes;
use ffmpeg_next::{Dictionary, Packet, Rational, codec, color, encoder, ffi, format::Pixel};

use super::{CodecError, Picture};

const WHAT: &str = "JPEG encoder";

/// Codes a picture whose pixels are full-range BT.601 already. `quantiser` is FFmpeg's scale: 2 is best, 31 is worst.
///
/// The encoder is opened for each: that costs some microseconds, where a still is made every few seconds.
pub(crate) fn jpeg(mut picture: Picture, quantiser: u8) -> Result<Bytes, CodecError> {
    let codec = encoder::find(codec::Id::MJPEG)
        .ok_or_else(|| CodecError::new("find", WHAT, "this FFmpeg has none"))?;
    let mut video = codec::Context::new_with_codec(codec)
        .encoder()
        .video()
        .map_err(CodecError::at("avcodec_alloc_context3", WHAT))?;
    video.set_width(picture.width());
    video.set_height(picture.height());
    video.set_format(Pixel::YUV420P);
    video.set_time_base(Rational(1, 1));
    let quality = i32::from(quantiser.clamp(2, 31)) * ffi::FF_QP2LAMBDA;
    let mut options = Dictionary::new();
    for (key, value) in [
        ("flags", "+qscale".to_owned()),
        ("global_quality", quality.to_string()),
        ("color_range", "pc".to_owned()),
        ("threads", "1".to_owned()),
    ] {
        options.set(key, &value);
    }
    let mut encoder = video.open_with(options).map_err(CodecError::at("avcodec_open2", WHAT))?;
    let frame = picture.frame_mut();
    frame.set_color_range(color::Range::JPEG);
    frame.set_pts(Some(0));
    // SAFETY: a plain field of a valid frame that is owned here.
    unsafe { (*frame.as_mut_ptr()).quality = quality };
    encoder.send_frame(frame).map_err(CodecError::at("avcodec_send_frame", WHAT))?;
    encoder.send_eof().map_err(CodecError::at("avcodec_send_frame", WHAT))?;
    let mut packet = Packet::empty();
    encoder.receive_packet(&mut packet).map_err(CodecError::at("avcodec_receive_packet", WHAT))?;
    Ok(Bytes::copy_from_slice(packet.data().unwrap_or_default()))
}
