//! Encoders that live on a graphics card or media engine. Kept small: what a card does with its bits is its driver's
//! matter. B-frames are off, since what drivers make of them at forced keyframes differs from card to card.

use ffmpeg_next::{Error, encoder, ffi, format::Pixel};

use super::{EncoderSettings, Recipe};
use crate::{
    av::{CodecError, Picture},
    ladder::{EncoderName, Preset, Profile},
};

/// Frames after which a keyframe comes if no cut comes before; cuts are seconds apart. Drivers do not agree on a word
/// for "never".
const NEVER: u32 = 7200;
/// Surfaces of a pool: what the encoder holds for reference and in flight, and one being filled.
const SURFACES: i32 = 16;

/// How a picture gets to its encoder.
pub(super) enum Upload {
    /// As it is: 8-bit 4:2:0 in three planes.
    None,
    /// With its colour planes woven into one, in main memory.
    Nv12,
    /// The same, copied to a surface of the device.
    Surface(Surfaces),
}

impl Upload {
    /// What the encoder is told to expect.
    pub(super) fn format(&self) -> Pixel {
        match self {
            Self::None => Pixel::YUV420P,
            Self::Nv12 => Pixel::NV12,
            Self::Surface(_) => Pixel::VAAPI,
        }
    }

    /// Tells an encoder that is not yet open where the surfaces come from.
    pub(super) fn attach(
        &self,
        video: &mut encoder::video::Video,
        what: &'static str,
    ) -> Result<(), CodecError> {
        match self {
            Self::Surface(surfaces) => surfaces.attach(video, what),
            Self::None | Self::Nv12 => Ok(()),
        }
    }

    /// The picture in the form that the encoder takes, marks included; `None` where it has it already.
    pub(super) fn bring(&self, picture: &Picture, what: &'static str) -> Result<Option<Picture>, CodecError> {
        match self {
            Self::None => Ok(None),
            Self::Nv12 => picture.to_nv12().map(Some),
            Self::Surface(surfaces) => surfaces.fill(&picture.to_nv12()?, what).map(Some),
        }
    }
}

/// A pool of surfaces on a device; it holds the device.
pub(super) struct Surfaces(*mut ffi::AVBufferRef);

// SAFETY: a reference to a buffer is counted atomically, FFmpeg's pools lock, and libva's display may be used from any
// thread; the owner moves with its encoder and is used by one thread at a time.
unsafe impl Send for Surfaces {}

impl Surfaces {
    /// Opens the first device of VA-API and makes a pool on it.
    fn open(width: u32, height: u32, what: &'static str) -> Result<Self, CodecError> {
        let failed = |call, code| CodecError::new(call, what, Error::from(code));
        let mut device = std::ptr::null_mut();
        // SAFETY: `device` is null and gets a reference, or stays null where the code is negative; null strings and
        // options mean the defaults.
        let code = unsafe {
            ffi::av_hwdevice_ctx_create(
                &mut device,
                ffi::AVHWDeviceType::AV_HWDEVICE_TYPE_VAAPI,
                std::ptr::null(),
                std::ptr::null_mut(),
                0,
            )
        };
        if code < 0 {
            return Err(failed("av_hwdevice_ctx_create", code));
        }
        // SAFETY: the device is valid; the pool takes a reference of its own, so ours goes back at once. A frames
        // context's data is an AVHWFramesContext, whose fields are the user's to set before it is initialised.
        unsafe {
            let frames = ffi::av_hwframe_ctx_alloc(device);
            ffi::av_buffer_unref(&mut device);
            if frames.is_null() {
                return Err(CodecError::new("av_hwframe_ctx_alloc", what, "out of memory"));
            }
            let pool = Self(frames);
            let context = (*frames).data.cast::<ffi::AVHWFramesContext>();
            (*context).format = ffi::AVPixelFormat::AV_PIX_FMT_VAAPI;
            (*context).sw_format = ffi::AVPixelFormat::AV_PIX_FMT_NV12;
            (*context).width = width as i32; // within H.264's levels
            (*context).height = height as i32;
            (*context).initial_pool_size = SURFACES;
            match ffi::av_hwframe_ctx_init(frames) {
                0.. => Ok(pool),
                code => Err(failed("av_hwframe_ctx_init", code)),
            }
        }
    }

    fn attach(&self, video: &mut encoder::video::Video, what: &'static str) -> Result<(), CodecError> {
        // SAFETY: our reference is valid, and the context, not open yet, takes ownership of the new one.
        let attached = unsafe {
            (*video.as_mut_ptr()).hw_frames_ctx = ffi::av_buffer_ref(self.0);
            !(*video.as_mut_ptr()).hw_frames_ctx.is_null()
        };
        if attached { Ok(()) } else { Err(CodecError::new("av_buffer_ref", what, "out of memory")) }
    }

    fn fill(&self, picture: &Picture, what: &'static str) -> Result<Picture, CodecError> {
        let mut surface = Picture::empty();
        let target = surface.frame_mut();
        // SAFETY: the pool and both frames are valid; the target is empty and owns the surface that it gets, whose size
        // is the picture's, as both are the encoder's.
        let codes = unsafe {
            let target = target.as_mut_ptr();
            let source = picture.frame().as_ptr();
            let mut code = ffi::av_hwframe_get_buffer(self.0, target, 0);
            let mut call = "av_hwframe_get_buffer";
            if code >= 0 {
                (code, call) = (ffi::av_hwframe_transfer_data(target, source, 0), "av_hwframe_transfer_data");
            }
            if code >= 0 {
                (code, call) = (ffi::av_frame_copy_props(target, source), "av_frame_copy_props");
            }
            (code, call)
        };
        match codes {
            (0.., _) => Ok(surface),
            (code, call) => Err(CodecError::new(call, what, Error::from(code))),
        }
    }
}

impl Drop for Surfaces {
    fn drop(&mut self) {
        // SAFETY: ours to give back, once.
        unsafe { ffi::av_buffer_unref(&mut self.0) }
    }
}

/// NVIDIA's cards take pictures from main memory by themselves.
pub(super) fn nvenc(settings: &EncoderSettings) -> Recipe {
    let preset = match settings.preset {
        Preset::Economy | Preset::Ultrafast | Preset::Superfast => "p2",
        Preset::Auto | Preset::Veryfast | Preset::Faster => "p4",
        Preset::Quality | Preset::Fast | Preset::Medium => "p6",
    };
    let own = [("preset", preset), ("rc", "vbr"), ("forced-idr", "1"), ("no-scenecut", "1")];
    recipe(settings, &own, Upload::None)
}

/// VA-API takes surfaces alone.
pub(super) fn vaapi(settings: &EncoderSettings) -> Result<Recipe, CodecError> {
    let what = EncoderName::H264Vaapi.as_str();
    let surfaces = Surfaces::open(settings.width, settings.height, what)?;
    Ok(recipe(settings, &[("rc_mode", "VBR"), ("idr_interval", "0")], Upload::Surface(surfaces)))
}

/// Quick Sync copies pictures to its surfaces by itself, from NV12.
pub(super) fn qsv(settings: &EncoderSettings) -> Recipe {
    let preset = match settings.preset {
        Preset::Economy | Preset::Ultrafast | Preset::Superfast => "veryfast",
        Preset::Auto | Preset::Veryfast | Preset::Faster => "faster",
        Preset::Quality | Preset::Fast | Preset::Medium => "medium",
    };
    let own = [("preset", preset), ("forced_idr", "1"), ("adaptive_i", "0"), ("look_ahead", "0")];
    recipe(settings, &own, Upload::Nv12)
}

/// Apple's media engine.
pub(super) fn videotoolbox(settings: &EncoderSettings) -> Recipe {
    recipe(settings, &[("realtime", "1"), ("allow_sw", "0")], Upload::None)
}

fn recipe(settings: &EncoderSettings, own: &[(&'static str, &'static str)], upload: Upload) -> Recipe {
    let profile = match (settings.profile, settings.encoder) {
        (Profile::Baseline, EncoderName::H264Vaapi) => "constrained_baseline",
        (profile, _) => profile.as_str(),
    };
    let mut options: Vec<_> = own.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
    options.extend([
        ("profile", profile.to_owned()),
        ("level", settings.level_idc.to_string()),
        ("bf", "0".to_owned()),
        ("g", settings.gop.unwrap_or(NEVER).to_string()),
    ]);
    Recipe { options, upload, reopens: false }
}
