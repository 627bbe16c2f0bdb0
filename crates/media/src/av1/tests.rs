use super::*;

/// SVT-AV1 by FFmpeg 9.0.2, 854x480 at 25, ten bits.
const RECORD: &[u8] = &[
    0x81, 4, 0x4C, 0, 0x0A, 0x0F, 2, 0, 0, 0x25, 0x26, 0x35, 0x5E, 0xF8, 0x05, 0xF0, 0xA0, 0x40, 0x41, 0x20,
    0x80,
];

fn header() -> Obu<'static> {
    sequence_header_in_record(RECORD).unwrap().unwrap()
}

#[test]
fn a_record_tells_its_picture_and_round_trips() {
    let sequence = SequenceHeader::parse(header().payload).unwrap();
    assert_eq!((sequence.width, sequence.height, sequence.bit_depth), (854, 480, 10));
    assert_eq!(sequence.to_record(&header()), RECORD);
    assert_eq!(sequence_header_in_record(&RECORD[..4]), Ok(None), "the header may come in-band");
    assert!(sequence_header_in_record(&[1, 0, 0, 0]).is_err());
    assert!(sequence_header_in_record(&RECORD[..3]).is_err());
}

#[test]
fn every_framing_comes_out_the_same() {
    let sequence = header().whole;
    let key: &[u8] = &[0x32, 3, 0x10, 0, 0x87];
    let unsized_key: &[u8] = &[0x30, 0x10, 0, 0x87];
    let want: Bytes = [sequence, key].concat().into();
    for (name, body, repairs) in [
        ("as it should be", want.to_vec(), 0),
        ("with a temporal delimiter", [&[0x12, 0], sequence, key].concat(), 0),
        ("with padding", [sequence, key, &[0x7A, 1, 0]].concat(), 0),
        ("last unit without size", [sequence, unsized_key].concat(), 0),
        ("with rubbish at the end", [&want[..], &[0xFF; 3]].concat(), 1),
    ] {
        let unit = normalise(&body.into(), None);
        assert_eq!(
            (unit.data, unit.key, unit.picture, unit.repairs),
            (want.clone(), true, true, repairs),
            "{name}"
        );
        assert_eq!(unit.sequence_header.as_deref(), Some(sequence), "{name}");
    }
}

#[test]
fn key_frames_are_told_by_their_header() {
    for (name, first, key) in [
        ("key, shown", 0x10, true),
        ("key, hidden", 0x00, false),
        ("inter, shown", 0x30, false),
        ("intra only, shown", 0x50, false),
        ("an earlier frame shown", 0x90, false),
    ] {
        for kind in [0x1A, 0x32] {
            let unit = normalise(&Bytes::copy_from_slice(&[kind, 2, first, 0]), None);
            assert_eq!((unit.picture, unit.key), (true, key), "{name}");
        }
    }
    let hidden_first = [&[0x32, 1, 0x00][..], &[0x32, 1, 0x10]].concat();
    assert!(!normalise(&hidden_first.into(), None).key, "the first frame decides");
    assert_eq!(normalise(&Bytes::new(), None), TemporalUnit::default());
}

#[test]
fn hostile_headers_are_refused() {
    let payload = header().payload;
    for len in 0..payload.len() - 1 {
        let _ = SequenceHeader::parse(&payload[..len]);
    }
    assert!(SequenceHeader::parse(&payload[..5]).is_err());
    assert!(SequenceHeader::parse(&[0xFF; 40]).is_err());
    assert_eq!(obus(&[0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]).count(), 0);
    assert_eq!(obus(&[0x0A, 5, 0]).count(), 0, "longer than what is there");
}

proptest::proptest! {
    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let _ = SequenceHeader::parse(&bytes);
        let _ = sequence_header_in_record(&bytes);
        let bytes = Bytes::from(bytes);
        let unit = normalise(&bytes, None);
        let again = normalise(&unit.data, None);
        proptest::prop_assert_eq!((&again.data, again.key, again.repairs), (&unit.data, unit.key, 0));
    }
}
