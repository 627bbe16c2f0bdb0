use super::*;

/// x265 4.3, Main 10, 1280x720 at 30, by `ffmpeg -c:v libx265 -pix_fmt yuv420p10le -colorspace bt2020nc`; the SEI that
/// stands behind the PPS is left out.
const MAIN10: &str = "0102200000009000000000005df000fcfdfafa00000f03\
    a00001001840010c01ffff02200000030090000003000003005d959409\
    a10001002e42010102200000030090000003000003005da00280802d136595952930bc05a810104820000003002000000303c1\
    a2000100064401c073c189";
/// The same encoder, Main, 1918x1078 at 60000/1001, preset slow: its reference picture sets are predicted.
const CROPPED: &str = "42010101600000030090000003000003007ba003c08010e75596566924caf01680800001f48000753004";

fn bytes(hex: &str) -> Bytes {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// The record above.
pub(crate) fn main10() -> Bytes {
    bytes(MAIN10)
}

fn lengths(nals: &[&[u8]]) -> Bytes {
    nals.iter()
        .flat_map(|nal| [&(nal.len() as u32).to_be_bytes()[..], nal].concat())
        .collect::<Vec<_>>()
        .into()
}

#[test]
fn a_record_tells_its_picture_and_round_trips() {
    let record = Record::parse(&main10()).unwrap();
    assert_eq!((record.length_size, record.units.kinds().map(<[_]>::len)), (4, [1, 1, 1]));
    let sps = SpsInfo::parse(&record.units.sps[0]).unwrap();
    assert_eq!((sps.width, sps.height, sps.bit_depth, sps.chroma_format), (1280, 720, 10, 1));
    assert_eq!(sps.frame_rate, FrameRate::new(30, 1));
    assert_eq!(sps.color, Some(ColorInfo { primaries: 2, transfer: 2, matrix: 9 }));
    let again = to_record(&sps, record.units.kinds());
    assert_eq!(Record::parse(&again).unwrap(), record);
    assert_eq!(again[1..13], main10()[1..13], "profile, tier and level");
    assert_eq!(again[16..19], main10()[16..19], "chroma and depths");
    assert!(is_record(&main10()));
    assert!(!is_record(&[1, 0x64, 0, 0x1F, 0xFF, 0xE1, 0, 26, 0x67]));
}

#[test]
fn cropping_and_predicted_reference_sets_are_read() {
    let sps = SpsInfo::parse(&bytes(CROPPED)).unwrap();
    assert_eq!((sps.width, sps.height, sps.bit_depth), (1918, 1078, 8));
    assert_eq!(sps.frame_rate, FrameRate::new(60_000, 1001));
}

#[test]
fn ids_are_read() {
    let record = Record::parse(&main10()).unwrap();
    let [vps, sps, pps] = record.units.kinds();
    assert_eq!((vps_id(&vps[0]), sps_id(&sps[0]), pps_id(&pps[0])), (Some(0), Some(0), Some(0)));
    assert_eq!((vps_id(&[0x40]), sps_id(&[0x42, 1, 1]), pps_id(&[0x44])), (None, None, None));
}

#[test]
fn every_framing_comes_out_the_same() {
    let slice: &[u8] = &[0x26, 0x01, 0xAF, 0x80, 0x20]; // IDR_W_RADL
    let want = lengths(&[slice]);
    for (name, body, size) in [
        ("lengths", want.clone(), 4),
        ("two-byte lengths", [&[0, 5], slice].concat().into(), 2),
        (
            "with delimiter, filler and a second layer",
            lengths(&[&[0x46, 1, 0x50], slice, &[0x4C, 1, 0xFF], &[0x02, 9, 1]]),
            4,
        ),
        ("with an empty unit", lengths(&[&[], slice]), 4),
        ("annex b", [&[0, 0, 0, 1, 0x46, 1, 0x50, 0, 0, 1], slice].concat().into(), 4),
        ("start code inside a length", lengths(&[&[&[0x46, 1, 0x50, 0, 0, 1], slice].concat()]), 4),
        ("a length past the end", [&want[..], &[0, 0, 1, 0, 2]].concat().into(), 4),
    ] {
        let unit = normalise(&body, size);
        assert_eq!((unit.data, unit.irap, unit.picture), (want.clone(), true, true), "{name}");
    }
}

#[test]
fn pictures_at_which_decoding_may_start_are_16_to_21() {
    for kind in 0..32u8 {
        let unit = normalise(&lengths(&[&[kind << 1, 1, 0x80]]), 4);
        assert_eq!((unit.picture, unit.irap), (true, (16..=21).contains(&kind)), "{kind}");
    }
}

#[test]
fn parameter_sets_in_band_are_told_and_stay() {
    let record = Record::parse(&main10()).unwrap();
    let body = lengths(&[&record.units.vps[0], &record.units.sps[0], &record.units.pps[0], &[0x26, 1, 0xAF]]);
    let unit = normalise(&body, 4);
    assert_eq!((unit.units, unit.data), (record.units, body));
}

#[test]
fn hostile_records_are_refused() {
    for bad in [&main10()[..22], &main10()[..60], &[2; 40], &[]] {
        assert!(Record::parse(&Bytes::copy_from_slice(bad)).is_err(), "{bad:02x?}");
    }
    let sps = bytes(CROPPED);
    for len in 0..22 {
        assert!(SpsInfo::parse(&sps[..len]).is_err(), "{len}");
    }
}

proptest::proptest! {
    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200), size in 0u8..6) {
        let bytes = Bytes::from(bytes);
        let unit = normalise(&bytes, size);
        proptest::prop_assert_eq!(nal::units(&unit.data).map(|nal| nal.len() + 4).sum::<usize>(), unit.data.len());
        let _ = Record::parse(&bytes);
        let _ = SpsInfo::parse(&[&[0x42, 1][..], &bytes].concat());
        let _ = (sps_id(&bytes), pps_id(&bytes), vps_id(&bytes), is_record(&bytes));
    }
}
