//! Which colours the rungs declare, so that a switch between them never shifts the picture's colours: the source's, or
//! BT.709 where they are converted ([`super::normalise`]).

use h264_reader::{nal::sps::SeqParameterSet, rbsp};
use media::{OtherVideo, VideoCodec, VideoConfig};

use super::normalise::{Tools, becomes_709};
use crate::av::Colour;

/// BT.709 (ISO/IEC 14496-10 tables E-3 to E-5).
const BT709: u8 = 1;
/// Not said.
const UNSPECIFIED: u8 = 2;
/// Height or width from which players take a picture that does not say for BT.709.
const HD: u32 = 720;

/// What the source declares. A player guesses by size where nothing is declared: HD sources then declare what it would
/// guess, or their small rungs would be taken for something else.
pub(super) fn of(config: &VideoConfig, tools: Tools) -> Colour {
    let declared = match config {
        VideoConfig::H264(config) => config.sps_units.first().and_then(|unit| read(unit)),
        // RGB, of which the scaler makes BT.709
        VideoConfig::Other(OtherVideo {
            codec: VideoCodec::ScreenVideo | VideoCodec::ScreenVideo2, ..
        }) => Some(Colour::BT709),
        VideoConfig::Other(other) => other.color.map(|color| Colour {
            primaries: color.primaries,
            transfer: color.transfer,
            matrix: color.matrix,
        }),
    };
    let (width, height) = config.dimensions();
    let hd = width.min(height) >= HD;
    let guess = if hd { BT709 } else { UNSPECIFIED };
    let or_guess = |code: u8| if code == UNSPECIFIED { guess } else { code };
    match declared {
        // 0 is RGB as matrix, and reserved as the others; the scaler makes BT.709 of RGB
        Some(Colour { matrix: 0, .. }) => Colour::BT709,
        Some(said) if becomes_709(said, tools) => Colour::BT709,
        Some(said) => Colour {
            primaries: or_guess(said.primaries),
            transfer: or_guess(said.transfer),
            matrix: or_guess(said.matrix),
        },
        None => Colour { primaries: guess, transfer: guess, matrix: guess },
    }
}

fn read(unit: &[u8]) -> Option<Colour> {
    let body = rbsp::decode_nal(unit).ok()?;
    let sps = SeqParameterSet::from_bits(rbsp::BitReader::new(&*body)).ok()?;
    let colour = sps.vui_parameters?.video_signal_type?.colour_description?;
    Some(Colour {
        primaries: colour.colour_primaries,
        transfer: colour.transfer_characteristics,
        matrix: colour.matrix_coefficients,
    })
}
