//! What messages hold: aggregates, and the configurations of codecs.

use bytes::Bytes;
use media::{aac, h264};

use crate::{
    limits::AGGREGATE_PARTS_MAX,
    message::{Message, kind, split_aggregate},
    tracks::{Sink, Tracks},
};

/// An aggregate, its parts handed to the tracks. Parts are within it, and none is an aggregate again.
pub fn aggregate(data: &[u8]) {
    let payload = Bytes::copy_from_slice(data);
    let outer = Message { kind: kind::AGGREGATE, stream: 1, timestamp: u32::MAX - 5, payload };
    let (mut tracks, mut sink, mut bytes, mut count) = (Tracks::new(), Sink::new(), 0, 0);
    for part in split_aggregate(&outer, AGGREGATE_PARTS_MAX) {
        assert_ne!(part.kind, kind::AGGREGATE);
        (bytes, count) = (bytes + part.payload.len(), count + 1);
        let _ = match part.kind {
            kind::VIDEO => tracks.video(part.timestamp, &part.payload, &mut sink),
            kind::AUDIO => tracks.audio(part.timestamp, &part.payload, &mut sink),
            _ => Ok(()),
        };
    }
    assert!(bytes <= data.len() && count <= AGGREGATE_PARTS_MAX);
}

/// Everything that `media` parses out of an encoder's bytes: configurations and access units.
pub fn configs(data: &[u8]) {
    let body = Bytes::copy_from_slice(data);
    if let Ok(record) = h264::Record::parse(&body)
        && let Ok(config) = h264::Config::from_units(record.sps_units, record.pps_units)
    {
        let again = h264::Record::parse(&config.to_record()).expect("what is written can be read");
        assert!(
            h264::Config::from_units(again.sps_units, again.pps_units).is_ok_and(|again| again == config)
        );
    }
    let _ = h264::SpsInfo::parse(data);
    for length_size in [1, 2, 4] {
        let _ = h264::normalise(&body, length_size);
    }
    let _ = h264::normalise_annex_b(&body);
    if let Ok(config) = aac::Config::parse(data) {
        let _ = (config.codecs(), config.adts_header(data.len()));
    }
    let _ = aac::split_adts(data);
}
