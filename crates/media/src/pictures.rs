//! One video track's coding: configuration records and coded frames in, as a publisher writes them; the configuration in
//! force and normalised packet data out. What a packet's data looks like, [`crate::Packet`] says.
//!
//! ```text
//!  record ─▶ parameter sets / sequence header ─┐
//!  frame ──▶ normalise ──▶ Frame { data, key } ┴▶ changed? ─▶ config() ─▶ VideoConfig
//! ```
//! Keyframes are told by the bitstream; the tag is believed for the Screen codings alone, whose frames do not tell.

use bytes::Bytes;

use crate::{
    av1,
    codec::{ColorInfo, FrameRate, OtherVideo, VideoCodec, VideoCoding, VideoConfig},
    flash_video, h264,
    header::HeaderError,
    hevc,
    parameter_sets::ParameterSets,
    vp8, vp9,
};

/// One coded frame, looked at.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Frame {
    /// What a packet carries; may be empty.
    pub data: Bytes,
    /// Decoding may start here.
    pub key: bool,
    /// Holds a picture at all.
    pub picture: bool,
    /// [`Pictures::config`] may say something else than before.
    pub changed: bool,
    /// Faults that were repaired on the way.
    pub repairs: u32,
}

/// The coding of one video track.
#[derive(Debug)]
pub struct Pictures {
    coding: Coding,
    /// Width and height that the publisher told beside the stream: for a header that cannot be read.
    size_hint: Option<(u32, u32)>,
    /// Colours told beside the bitstream, which count where it tells none.
    color_hint: Option<ColorInfo>,
}

#[derive(Debug)]
enum Coding {
    H264(H264),
    Hevc(Hevc),
    Av1(Av1),
    Headed(Headed),
}

#[derive(Debug)]
struct H264 {
    /// Bytes of each NAL length.
    length_size: u8,
    sets: ParameterSets<2>,
}

#[derive(Debug)]
struct Hevc {
    length_size: u8,
    sets: ParameterSets<3>,
}

#[derive(Debug, Default)]
struct Av1 {
    /// The sequence header OBU in force, as it came, and what it says.
    header: Option<(Bytes, av1::SequenceHeader)>,
}

/// A coding whose frames tell what is to be known, in a header of each or of keyframes.
#[derive(Debug)]
struct Headed {
    codec: VideoCodec,
    extradata: Bytes,
    /// Width, height and bit depth.
    picture: Option<(u32, u32, u8)>,
    color: Option<ColorInfo>,
}

impl Pictures {
    /// A track of which only the coding is known. `None` for VVC, which nothing here decodes.
    pub fn new(coding: VideoCoding) -> Option<Self> {
        let coding = match coding {
            VideoCoding::H264 => {
                Coding::H264(H264 { length_size: 4, sets: ParameterSets::new([h264::sps_id, h264::pps_id]) })
            }
            VideoCoding::Other(VideoCodec::Hevc) => Coding::Hevc(Hevc::new()),
            VideoCoding::Other(VideoCodec::Av1) => Coding::Av1(Av1::default()),
            VideoCoding::Other(VideoCodec::Vvc) => return None,
            VideoCoding::Other(codec) => {
                Coding::Headed(Headed { codec, extradata: Bytes::new(), picture: None, color: None })
            }
        };
        Some(Self { coding, size_hint: None, color_hint: None })
    }

    /// What it turned out to be: HEVC's record may come under AVC's label.
    pub fn coding(&self) -> VideoCoding {
        match &self.coding {
            Coding::H264(_) => VideoCoding::H264,
            Coding::Hevc(_) => VideoCoding::Other(VideoCodec::Hevc),
            Coding::Av1(_) => VideoCoding::Other(VideoCodec::Av1),
            Coding::Headed(headed) => VideoCoding::Other(headed.codec),
        }
    }

    /// Width and height told beside the stream; they count only where the bitstream's own cannot be read.
    pub fn hint_size(&mut self, width: u32, height: u32) {
        self.size_hint = Some((width, height));
    }

    /// Colours told beside the bitstream (Enhanced RTMP's colorInfo); `None` takes them back. True when
    /// [`Pictures::config`] may say something else than before.
    pub fn hint_color(&mut self, color: Option<ColorInfo>) -> bool {
        let changed = self.color_hint != color;
        self.color_hint = color;
        changed
    }

    /// Takes a configuration record; an empty one says nothing. True when [`Pictures::config`] may say something else
    /// than before.
    ///
    /// # Errors
    /// When the record cannot be used; what was in force stays.
    pub fn record(&mut self, body: &Bytes) -> Result<bool, HeaderError> {
        if body.is_empty() {
            return Ok(false);
        }
        match &mut self.coding {
            Coding::H264(h264) => {
                let parsed = h264::Record::parse(body);
                if hevc::is_record(body) && parsed.as_ref().map_or(true, |record| record.sps_units.is_empty())
                {
                    let mut hevc = Hevc::new();
                    let changed = hevc.record(body)?;
                    self.coding = Coding::Hevc(hevc);
                    return Ok(changed);
                }
                let record = parsed.map_err(|error| HeaderError::Other(error.to_string()))?;
                h264.length_size = record.length_size;
                Ok(h264.sets.replace([&record.sps_units, &record.pps_units]).contains(&true))
            }
            Coding::Hevc(hevc) => hevc.record(body),
            Coding::Av1(av1) => match av1::sequence_header_in_record(body)? {
                Some(obu) => av1.take(&body.slice_ref(obu.whole)),
                None => Ok(false),
            },
            Coding::Headed(Headed { codec: VideoCodec::Vp9, color, .. }) => {
                let told = vp9::color_of_record(body)?;
                let changed = *color != told;
                *color = told;
                Ok(changed)
            }
            Coding::Headed(_) => Ok(false),
        }
    }

    /// Looks at one coded frame. `tagged_key` is what the message around it says of keyframes.
    ///
    /// # Errors
    /// When its header cannot be read: it is to be dropped.
    pub fn frame(&mut self, body: &Bytes, tagged_key: bool) -> Result<Frame, HeaderError> {
        match &mut self.coding {
            Coding::H264(h264) => Ok(h264.frame(body)),
            Coding::Hevc(hevc) => Ok(hevc.frame(body)),
            Coding::Av1(av1) => Ok(av1.frame(body)),
            Coding::Headed(headed) => headed.frame(body, tagged_key),
        }
    }

    /// The configuration in force; `None` while too little came to tell.
    ///
    /// # Errors
    /// When what came cannot be read.
    pub fn config(&self) -> Result<Option<VideoConfig>, HeaderError> {
        let config = match &self.coding {
            Coding::H264(h264) => return h264.config(),
            Coding::Hevc(hevc) => hevc.config(self.size_hint)?,
            Coding::Av1(av1) => av1.config(),
            Coding::Headed(headed) => headed.config(),
        };
        Ok(config.map(|config| {
            let color = match (config.color, self.color_hint) {
                (Some(own), Some(hint)) => Some(own.or(hint)),
                (own, hint) => own.or(hint),
            };
            VideoConfig::Other(OtherVideo { color, ..config })
        }))
    }
}

impl H264 {
    fn frame(&mut self, body: &Bytes) -> Frame {
        let unit = h264::normalise(body, self.length_size);
        let has_sets = !unit.sps_units.is_empty() || !unit.pps_units.is_empty();
        let changed = has_sets && self.sets.merge([&unit.sps_units, &unit.pps_units]).contains(&true);
        Frame { data: unit.data, key: unit.idr, picture: unit.picture, changed, repairs: unit.repairs }
    }

    fn config(&self) -> Result<Option<VideoConfig>, HeaderError> {
        match h264::Config::from_units(self.sets.kept(0).to_vec(), self.sets.kept(1).to_vec()) {
            Ok(config) => Ok(Some(VideoConfig::H264(config))),
            Err(h264::ConfigError::Missing(_)) => Ok(None),
            Err(error) => Err(HeaderError::Other(error.to_string())),
        }
    }
}

impl Hevc {
    fn new() -> Self {
        Self { length_size: 4, sets: ParameterSets::new([hevc::vps_id, hevc::sps_id, hevc::pps_id]) }
    }

    fn record(&mut self, body: &Bytes) -> Result<bool, HeaderError> {
        let record = hevc::Record::parse(body)?;
        self.length_size = record.length_size;
        Ok(self.sets.replace(record.units.kinds()).contains(&true))
    }

    fn frame(&mut self, body: &Bytes) -> Frame {
        let unit = hevc::normalise(body, self.length_size);
        let before = self.sets.kept(2).is_empty();
        let [_, sps, pps] = self.sets.merge(unit.units.kinds());
        // Sets stay in the data, so the decoder meets a new PPS by itself: only what changes the picture is told, and
        // the first PPS, without which there is no configuration.
        let changed = sps || before && pps;
        Frame { data: unit.data, key: unit.irap, picture: unit.picture, changed, repairs: unit.repairs }
    }

    fn config(&self, size_hint: Option<(u32, u32)>) -> Result<Option<OtherVideo>, HeaderError> {
        let kinds = [0, 1, 2].map(|kind| self.sets.kept(kind));
        let (Some(first), false) = (kinds[1].first(), kinds[2].is_empty()) else { return Ok(None) };
        let sps = match (hevc::SpsInfo::parse(first), size_hint) {
            (Ok(sps), _) => sps,
            (Err(_), Some((width, height))) => {
                // The decoder may read what we cannot: it gets the sets in-band.
                return Ok(Some(other(VideoCodec::Hevc, Bytes::new(), (width, height, 8), None, None)));
            }
            (Err(error), None) => return Err(error),
        };
        let picture = (sps.width, sps.height, sps.bit_depth);
        let record = hevc::to_record(&sps, kinds);
        Ok(Some(other(VideoCodec::Hevc, record, picture, sps.frame_rate, sps.color)))
    }
}

impl Av1 {
    /// Takes a sequence header OBU.
    fn take(&mut self, obu: &Bytes) -> Result<bool, HeaderError> {
        if self.header.as_ref().is_some_and(|(known, _)| known == obu) {
            return Ok(false);
        }
        let Some(parsed) = av1::obus(obu).next() else { return Ok(false) };
        let header = av1::SequenceHeader::parse(parsed.payload)?;
        let changed = self.header.as_ref().is_none_or(|(_, known)| *known != header);
        self.header = Some((Bytes::copy_from_slice(obu), header));
        Ok(changed)
    }

    fn frame(&mut self, body: &Bytes) -> Frame {
        let unit = av1::normalise(body, self.header.as_ref().map(|(_, header)| header));
        let changed = unit.sequence_header.as_ref().is_some_and(|obu| self.take(obu).unwrap_or(false));
        Frame { data: unit.data, key: unit.key, picture: unit.picture, changed, repairs: unit.repairs }
    }

    fn config(&self) -> Option<OtherVideo> {
        let (obu, header) = self.header.as_ref()?;
        let record = header.to_record(&av1::obus(obu).next()?);
        let picture = (header.width, header.height, header.bit_depth);
        Some(other(VideoCodec::Av1, record, picture, header.frame_rate, header.color))
    }
}

impl Headed {
    fn frame(&mut self, body: &Bytes, tagged_key: bool) -> Result<Frame, HeaderError> {
        if body.is_empty() {
            return Ok(Frame::default());
        }
        let mut data = body.clone();
        let (key, picture) = match self.codec {
            VideoCodec::Vp9 => match vp9::frame(body)? {
                vp9::Frame::Key { width, height, bit_depth } => (true, Some((width, height, bit_depth))),
                vp9::Frame::Inter => (false, None),
            },
            VideoCodec::Vp8 => {
                let size = vp8::key_frame_size(body)?;
                (size.is_some(), size.map(|(width, height)| (width, height, 8)))
            }
            VideoCodec::Vp6 | VideoCodec::Vp6Alpha => {
                let frame = flash_video::vp6(body, self.codec == VideoCodec::Vp6Alpha)?;
                if frame.key {
                    self.extradata = Bytes::copy_from_slice(&body[..1]);
                }
                data = body.slice(1..);
                (frame.key, frame.size.map(|(width, height)| (width, height, 8)))
            }
            VideoCodec::ScreenVideo | VideoCodec::ScreenVideo2 => {
                let (width, height) = flash_video::screen(body)?;
                (tagged_key, Some((width, height, 8)))
            }
            _ => {
                let frame = flash_video::sorenson(body)?;
                (frame.key, frame.size.map(|(width, height)| (width, height, 8)))
            }
        };
        let changed = key && self.picture != picture;
        if key {
            self.picture = picture;
        }
        Ok(Frame { data, key, picture: true, changed, repairs: 0 })
    }

    fn config(&self) -> Option<OtherVideo> {
        let picture = self.picture?;
        Some(other(self.codec, self.extradata.clone(), picture, None, self.color))
    }
}

fn other(
    codec: VideoCodec,
    extradata: Bytes,
    (width, height, bit_depth): (u32, u32, u8),
    frame_rate: Option<FrameRate>,
    color: Option<ColorInfo>,
) -> OtherVideo {
    OtherVideo { codec, extradata, width, height, bit_depth, frame_rate, color }
}

#[cfg(test)]
mod tests;
