//! Rules of MPEG-DASH.

use super::{Rule, must, should};

pub(super) const DASH: &[Rule] = &[
    must(
        "dash.xml",
        "DASH §5.2",
        "The MPD is well-formed XML in the MPD's name space, and its attributes have the right form.",
    ),
    must(
        "dash.mpd",
        "DASH §5.3.1.2",
        "A dynamic MPD has profiles, minBufferTime, availabilityStartTime and publishTime.",
    ),
    must("dash.utc", "IOP §7", "A dynamic MPD has a UTCTiming whose clock can be read."),
    must(
        "dash.constant",
        "IOP §4, DASH §5.4",
        "availabilityStartTime, Period@start, ids and order of what was there do not change.",
    ),
    must("dash.publish", "DASH §5.3.1.2", "publishTime rises when the MPD changes and never falls."),
    must(
        "dash.ids",
        "IOP §4",
        "Periods have ids of their own, Representations have ids of their own within a Period.",
    ),
    must("dash.period", "IOP §4", "Periods follow one another without gap or overlap."),
    must(
        "dash.attributes",
        "DASH §5.3.5.2, §5.3.7.2",
        "Representations have bandwidth, mimeType and codecs, with pictures width, height and frameRate.",
    ),
    must(
        "dash.template",
        "DASH §5.3.9.4",
        "SegmentTemplate has media and initialization whose identifiers are known, and tells durations.",
    ),
    should("dash.timescale", "IOP §5", "timescale is written."),
    must(
        "dash.timeline",
        "IOP §5",
        "S elements follow one another without gap or overlap and keep their time and duration.",
    ),
    must("dash.advance", "DASH §5.4", "A timeline of a dynamic MPD goes on as time does."),
    must("dash.available", "DASH §A.3, IOP §5", "Each segment can be fetched at its computed time."),
    must("dash.gone", "DASH §5.3.1.2", "A segment in the time shift buffer can be fetched."),
    must("dash.tfdt", "IOP §5", "A segment's media time is where the MPD puts it."),
    must(
        "dash.duration",
        "DASH §7.2.1",
        "A segment's duration is what the MPD says, to half of it with plain numbers.",
    ),
    must("dash.max-duration", "DASH §5.3.1.2", "No segment is longer than maxSegmentDuration."),
    must("dash.bandwidth", "DASH §5.3.5.2", "bandwidth is enough to play on after minBufferTime."),
    must("dash.codecs", "DASH §5.3.7.2", "codecs, width and height are what the segments hold."),
    must("dash.frame-rate", "DASH §5.3.7.2", "frameRate is that of the segments."),
    must(
        "dash.aligned",
        "DASH §5.3.3.2",
        "With segmentAlignment the segments of all Representations of a set begin at the same times.",
    ),
    must(
        "dash.offset",
        "DASH §5.3.9.5",
        "availabilityTimeOffset is below the segment's duration, with availabilityTimeComplete=false beside it, and never infinite with a timeline.",
    ),
    must(
        "dash.chunked",
        "DASH §5.3.9.5, IOP low latency",
        "A segment that is offered before it is complete has several chunks and comes as they are made.",
    ),
    should("dash.latency", "DASH §K", "Low-latency MPDs have a ServiceDescription with a target latency."),
    should(
        "dash.producer",
        "DASH §5.12",
        "Low-latency MPDs tell the producer's clock by ProducerReferenceTime or prft.",
    ),
    must(
        "dash.end",
        "DASH §5.4",
        "An MPD that has ended is static, with durations and without minimumUpdatePeriod.",
    ),
    should("dash.delay", "IOP §4", "suggestedPresentationDelay is within the time shift buffer."),
];
