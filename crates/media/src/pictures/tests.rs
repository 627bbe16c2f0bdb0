use super::*;
use crate::hevc::tests::main10;

const AVC: [u8; 42] = [
    1, 0x64, 0x00, 0x1f, 0xFF, 0xE1, 0, 26, 0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01,
    0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83, 0x19, 0x60, 1, 0, 5, 0x68,
    0xeb, 0xe3, 0xcb, 0x22,
];
const AV1_HEADER: [u8; 17] =
    [0x0A, 0x0F, 2, 0, 0, 0x25, 0x26, 0x35, 0x5E, 0xF8, 0x05, 0xF0, 0xA0, 0x40, 0x41, 0x20, 0x80];

fn pictures(coding: VideoCoding) -> Pictures {
    Pictures::new(coding).unwrap()
}

fn shown(pictures: &Pictures) -> Option<(String, u32, u32)> {
    let config = pictures.config().unwrap()?;
    let (width, height) = config.dimensions();
    Some((config.codecs(), width, height))
}

#[test]
fn vvc_has_no_reader() {
    assert!(Pictures::new(VideoCoding::Other(VideoCodec::Vvc)).is_none());
}

#[test]
fn avc_and_hevc_by_their_records() {
    let mut avc = pictures(VideoCoding::H264);
    assert_eq!(avc.record(&Bytes::new()), Ok(false));
    assert_eq!(avc.record(&Bytes::from_static(&AVC)), Ok(true));
    assert_eq!(avc.record(&Bytes::from_static(&AVC)), Ok(false));
    assert_eq!(shown(&avc), Some(("avc1.64001f".into(), 1280, 720)));
    assert!(avc.record(&Bytes::from_static(&[9; 20])).is_err());

    for coding in [VideoCoding::Other(VideoCodec::Hevc), VideoCoding::H264] {
        let mut hevc = pictures(coding);
        assert_eq!(hevc.record(&main10()), Ok(true));
        assert_eq!(hevc.coding(), VideoCoding::Other(VideoCodec::Hevc));
        assert_eq!(shown(&hevc), Some(("HEVC".into(), 1280, 720)));
        let frame = hevc.frame(&Bytes::from_static(&[0, 0, 0, 3, 0x26, 1, 0xAF]), false).unwrap();
        assert!(frame.key && frame.picture && !frame.changed);
    }
}

#[test]
fn hevc_tells_a_change_of_the_picture_and_not_of_every_set() {
    let mut hevc = pictures(VideoCoding::Other(VideoCodec::Hevc));
    let record = main10();
    let sets = hevc::Record::parse(&record).unwrap().units;
    let body = |units: &[&[u8]]| -> Bytes {
        units.iter().flat_map(|unit| [&(unit.len() as u32).to_be_bytes()[..], unit].concat()).collect()
    };
    let slice: &[u8] = &[0x26, 1, 0xAF];
    let opening = body(&[&sets.vps[0], &sets.sps[0], &sets.pps[0], slice]);
    assert!(hevc.frame(&opening, true).unwrap().changed, "sets in-band alone");
    assert!(!hevc.frame(&opening, true).unwrap().changed);
    let mut pps = sets.pps[0].to_vec();
    pps[3] ^= 1;
    assert!(!hevc.frame(&body(&[&pps, slice]), true).unwrap().changed);
    let mut sps = sets.sps[0].to_vec();
    sps[40] ^= 1;
    assert!(hevc.frame(&body(&[&sps, slice]), true).unwrap().changed);
}

#[test]
fn av1_by_record_and_in_band() {
    let mut record = vec![0x81, 4, 0x4C, 0];
    let mut av1 = pictures(VideoCoding::Other(VideoCodec::Av1));
    assert_eq!(av1.record(&record.clone().into()), Ok(false), "the header may come later");
    let frame = av1.frame(&[&AV1_HEADER[..], &[0x32, 2, 0x10, 0]].concat().into(), false).unwrap();
    assert!(frame.changed && frame.key);
    assert_eq!(shown(&av1), Some(("AV1".into(), 854, 480)));
    record.extend(AV1_HEADER);
    assert_eq!(av1.record(&record.into()), Ok(false), "the same header");
}

#[test]
fn colours_told_beside_the_stream_count_where_it_tells_none() {
    let pq = ColorInfo { primaries: 9, transfer: 16, matrix: 9 };
    let color = |pictures: &Pictures| match pictures.config().unwrap().unwrap() {
        VideoConfig::Other(other) => other.color,
        VideoConfig::H264(_) => None,
    };
    let key: Bytes = Bytes::from_static(&[0x82, 0x49, 0x83, 0x42, 0x00, 0x27, 0xF0, 0x16, 0x76, 0x00]);
    let mut vp9 = pictures(VideoCoding::Other(VideoCodec::Vp9));
    assert_eq!(vp9.config(), Ok(None), "a record tells no size");
    assert!(vp9.frame(&key, false).unwrap().changed);
    assert!(vp9.hint_color(Some(pq)) && !vp9.hint_color(Some(pq)));
    assert_eq!(color(&vp9), Some(pq));
    let hlg = [0, 0x1F, 0x80, 9, 18, 9, 0, 0];
    assert_eq!(vp9.record(&Bytes::copy_from_slice(&hlg)), Ok(true));
    assert_eq!(color(&vp9), Some(ColorInfo { transfer: 18, ..pq }));
    assert!(vp9.hint_color(None));
}

#[test]
fn a_size_that_only_metadata_tells_is_a_last_resort() {
    let mut broken = main10().to_vec();
    let sps = broken.windows(3).position(|bytes| bytes == [0x42, 1, 1]).unwrap();
    broken[sps + 19] = 0; // ids and sizes run on for more zeros than any number has
    broken[sps + 20..sps + 30].fill(0);
    let mut hevc = pictures(VideoCoding::Other(VideoCodec::Hevc));
    hevc.record(&broken.into()).unwrap();
    assert!(hevc.config().is_err());
    hevc.hint_size(1920, 1080);
    assert_eq!(shown(&hevc), Some(("HEVC".into(), 1920, 1080)));
    let mut avc = pictures(VideoCoding::H264);
    avc.hint_size(1920, 1080);
    avc.record(&Bytes::from_static(&AVC)).unwrap();
    assert_eq!(shown(&avc), Some(("avc1.64001f".into(), 1280, 720)));
}

#[test]
fn flash_codings_by_their_frames() {
    for (codec, body, tagged, want) in [
        (VideoCodec::Vp6, &[0x08, 0x1E, 0x46, 0x17, 0x28, 0x17, 0x28][..], false, (640, 360)),
        (VideoCodec::ScreenVideo, &[0x32, 0x80, 0x31, 0x68, 0], true, (640, 360)),
        (VideoCodec::ScreenVideo2, &[0x32, 0x80, 0x31, 0x68, 0], true, (640, 360)),
        (VideoCodec::SorensonH263, &[0, 0, 0x84, 2, 0x80, 0], false, (320, 240)),
        (VideoCodec::Vp8, &[0x10, 0, 0, 0x9D, 1, 0x2A, 0x80, 2, 0x68, 1], false, (640, 360)),
    ] {
        let mut reader = pictures(VideoCoding::Other(codec));
        let frame = reader.frame(&Bytes::copy_from_slice(body), tagged).unwrap();
        assert!(frame.key && frame.changed, "{codec:?}");
        assert_eq!(shown(&reader).map(|(_, width, height)| (width, height)), Some(want), "{codec:?}");
        let cropped = usize::from(codec == VideoCodec::Vp6);
        assert_eq!(frame.data, body[cropped..], "{codec:?}");
        assert!(!reader.frame(&Bytes::copy_from_slice(body), tagged).unwrap().changed, "{codec:?}");
    }
    let mut screen = pictures(VideoCoding::Other(VideoCodec::ScreenVideo));
    let inter = screen.frame(&Bytes::from_static(&[0x32, 0x80, 0x31, 0x68, 0]), false).unwrap();
    assert!(!inter.key && !inter.changed);
}
