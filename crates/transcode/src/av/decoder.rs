//! Decoders of pictures.

use ffmpeg_next::{
    Dictionary, Packet,
    codec::{self, packet, threading},
    decoder,
    ffi::AVDiscard,
};
use media::VideoConfig;

use super::{CodecError, Picture, Received, coding::video_decoder, received, set_extradata};

/// Most pixels of a picture that is decoded: 8192 x 4320. A hostile SPS may announce far more.
const MAX_PIXELS: &str = "35389440";
/// Frames that output is held back where the bitstream does not say: what two levels of B-frames need. FFmpeg would
/// otherwise start with none and let the first reordered frames out too early.
const GUESSED_REORDER: i32 = 2;

/// A decoder for packets in [`media::Packet`]'s form. Times pass through as they are.
pub(crate) struct VideoDecoder {
    decoder: decoder::Video,
    /// What is decoded, for messages.
    what: &'static str,
}

/// How much of the in-loop filter (ISO/IEC 14496-10 §8.7) is run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Deblock {
    All,
    /// Only what other pictures are predicted from; the edges of blocks stay in the others, and nothing adds up.
    References,
}

impl VideoDecoder {
    /// Opens a decoder with `threads` frame threads; one is cheapest, more are for pictures too large for one core.
    pub(crate) fn open(config: &VideoConfig, threads: usize, deblock: Deblock) -> Result<Self, CodecError> {
        let (codec, what) = video_decoder(config)?;
        let mut context = codec::Context::new_with_codec(codec);
        match config {
            VideoConfig::H264(config) => {
                set_extradata(&mut context, &config.to_record(), what)?;
                if config.sps.max_reorder.is_none() && config.sps.profile_idc != 66 {
                    // SAFETY: a plain field of a valid context, to be set by the user before it is opened.
                    unsafe { (*context.as_mut_ptr()).has_b_frames = GUESSED_REORDER };
                }
            }
            VideoConfig::Other(other) => set_extradata(&mut context, &other.extradata, what)?,
        }
        context.set_threading(threading::Config {
            kind: threading::Type::Frame,
            count: threads.max(1),
            ..threading::Config::default()
        });
        if deblock == Deblock::References {
            // SAFETY: a plain field of a valid context, to be set by the user before it is opened.
            unsafe { (*context.as_mut_ptr()).skip_loop_filter = AVDiscard::AVDISCARD_NONREF };
        }
        let mut options = Dictionary::new();
        options.set("max_pixels", MAX_PIXELS);
        let decoder = context
            .decoder()
            .open_as_with(codec, options)
            .and_then(decoder::Opened::video)
            .map_err(CodecError::at("avcodec_open2", what))?;
        Ok(Self { decoder, what })
    }

    /// Puts a packet in. All that is ready must have been received before.
    pub(crate) fn send(&mut self, data: &[u8], pts: i64, dts: i64, keyframe: bool) -> Result<(), CodecError> {
        let mut packet = Packet::copy(data);
        if keyframe {
            packet.set_flags(packet::Flags::KEY); // Screen video 2 does not say so itself
        }
        packet.set_pts(Some(pts));
        packet.set_dts(Some(dts));
        self.decoder.send_packet(&packet).map_err(CodecError::at("avcodec_send_packet", self.what))
    }

    /// Says that nothing more comes.
    pub(crate) fn finish(&mut self) -> Result<(), CodecError> {
        self.decoder.send_eof().map_err(CodecError::at("avcodec_send_packet", self.what))
    }

    /// After the end was put in and all has come out: ready for packets that have nothing to do with those before.
    pub(crate) fn restart(&mut self) {
        self.decoder.flush();
    }

    pub(crate) fn receive(&mut self) -> Result<Received<Picture>, CodecError> {
        let mut picture = Picture::empty();
        let result = self.decoder.receive_frame(picture.frame_mut());
        received(result, || picture, "avcodec_receive_frame", self.what)
    }
}
