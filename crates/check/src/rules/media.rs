//! Rules of segments.

use super::{Rule, must, should};

pub(super) const TS: &[Rule] = &[
    must(
        "ts.packet",
        "13818-1 §2.4.3",
        "A segment is whole packets of 188 bytes with sync bytes, no error or scrambling bits, stuffing of 0xff.",
    ),
    should(
        "ts.psi-first",
        "§3.1.1",
        "Packet 0 is the PAT, packet 1 the PMT, then comes the segment's first PES.",
    ),
    must(
        "ts.psi",
        "13818-1 §2.4.4",
        "PAT and PMT have pointer 0, one section, a right CRC, one program, and 0xff behind.",
    ),
    must(
        "ts.layout",
        "§4.4.4.3, Apple 1.5",
        "Stream types are those that players read; PIDs and PSI stay the same until a discontinuity.",
    ),
    must(
        "ts.pid",
        "13818-1 §2.4.4.8",
        "No packet is of a PID that the PMT does not name, and none is a null packet.",
    ),
    must("ts.counter", "Apple 7.2", "Continuity counters run on per PID, over segments too."),
    must(
        "ts.pcr",
        "13818-1 §2.7.2",
        "The PCR is on its PID, at most 100 ms apart, in the first packet of a segment's first PES, its reserved bits 1.",
    ),
    must("ts.pcr-dts", "13818-1 §2.4.2", "The PCR is never above the DTS of a PES that follows."),
    must(
        "ts.pes",
        "13818-1 §2.4.3.6",
        "PES headers are well formed, with the stream ids and alignment of their kind, and DTS only where it differs.",
    ),
    must("ts.pes-complete", "practice", "Every PES ends in its own segment."),
    must("ts.dts", "Apple 7.2", "DTS rises strictly per PID; PTS is not below it, nor more than 60 s above."),
    must(
        "ts.pts",
        "Apple 7.4",
        "No two pictures have one time, none is before its segment's IDR or behind the next one's.",
    ),
    must("ts.jump", "§4.4.4.3", "Times run on from segment to segment where no discontinuity is told."),
    must(
        "ts.rai",
        "13818-1 §2.4.3.5",
        "The random_access_indicator is on the first packet of an IDR's PES and nowhere else.",
    ),
    must(
        "ts.nal",
        "14496-10 B.1",
        "Annex B with 4-byte first start code, no empty units, one picture a PES.",
    ),
    must("ts.aud", "13818-1 §2.14", "Exactly one access unit delimiter stands first in each picture."),
    must(
        "ts.params",
        "§4.4.4.3, 14496-10 §7.4",
        "SPS and PPS stand before each IDR, before SEI and slices, the same bytes until a discontinuity.",
    ),
    must("ts.idr-first", "Apple 7.4", "A segment with pictures opens with an IDR."),
    must(
        "ts.adts",
        "13818-7, 14496-3",
        "Whole ADTS frames tile each audio PES, with one configuration until a discontinuity, 250 ms each at most.",
    ),
    must("ts.audio-gap", "Apple 7.2", "Audio times equal the running count of samples."),
    must("ts.audio-home", "practice", "A segment has the sound of its own pictures' time."),
    must("ts.av-start", "practice", "Sound starts within 50 ms of the first picture."),
    must(
        "ts.interleave",
        "practice",
        "Sound and pictures are never more than half a second apart in the file.",
    ),
    must("ts.missing", "§4.4.4.3", "A stream that the rendition has is in each segment."),
];

pub(super) const CMAF: &[Rule] = &[
    must("cmaf.box", "BMFF §4.2", "Boxes are whole, of sizes that fit, and fill the file."),
    must("cmaf.brand", "§3.1.2, CMAF §7.2", "ftyp names a brand of iso6 or later."),
    must(
        "cmaf.init",
        "§3.1.2, CMAF §7.3.2",
        "The Media Initialization Section is ftyp and moov, with one mvex/trex a track and no samples.",
    ),
    must("cmaf.one-track", "CMAF §7.3.1", "There is one track."),
    should("cmaf.edts", "Apple 8, practice", "There is no edit list."),
    should(
        "cmaf.duration",
        "CMAF §7.3.2.1",
        "Durations in mvhd and tkhd are 0 or absent, for the fragments tell them.",
    ),
    should(
        "cmaf.entry",
        "Apple 1.10",
        "Sample entries are avc1 or hvc1, with the parameter sets in the header alone.",
    ),
    must(
        "cmaf.config",
        "§4.4.6.2, 14496-15",
        "The sample entry has a decoder configuration that can be read.",
    ),
    must(
        "cmaf.order",
        "BMFF §8.8, CMAF §7.3.3",
        "A chunk is styp, prft, emsg as it needs, then moof, then mdat.",
    ),
    must("cmaf.styp", "CMAF §7.3.3.1", "styp stands in front of a segment's first chunk alone."),
    must("cmaf.sidx", "practice", "Live segments have no sidx."),
    must(
        "cmaf.tfhd",
        "§3.1.2",
        "tfhd is of the header's track, with default-base-is-moof and without base-data-offset.",
    ),
    must("cmaf.tfdt", "§3.1.2, CMAF §7.5.16", "Each track fragment has a tfdt."),
    must("cmaf.tfdt-sum", "Apple 7.3", "tfdt is the one before plus its duration."),
    must("cmaf.trun", "CMAF §7.5.17", "There is one trun, with data-offset, whose samples fill the mdat."),
    must(
        "cmaf.start",
        "practice",
        "The first picture of a segment is shown when it is decoded, so that tfdt is its time.",
    ),
    must(
        "cmaf.flags",
        "BMFF §8.8.3.1",
        "Sample flags say which samples are key pictures, as the samples are.",
    ),
    must("cmaf.sync-first", "Apple 7.4, CMAF §7.3.2.3", "A segment with pictures opens with a key picture."),
    should("cmaf.mfhd", "BMFF §8.8.5", "The sequence number of moof rises."),
    must("cmaf.nal", "14496-15 §5.3", "Length-prefixed NAL units tile each sample, one picture each."),
    should(
        "cmaf.inband",
        "14496-15 §5.4",
        "Samples of avc1 have no parameter sets and no access unit delimiter.",
    ),
    must("cmaf.pts", "BMFF §8.6.1", "No two pictures of a segment have one time."),
    must(
        "cmaf.continuity",
        "§4.4.4.3",
        "Times run on from segment to segment where no discontinuity is told.",
    ),
    should(
        "cmaf.av-start",
        "practice",
        "Sound and pictures of one segment number start within 100 ms of each other.",
    ),
    must("cmaf.emsg", "CMAF §7.4.5", "Event messages are of version 1 and whole."),
];
