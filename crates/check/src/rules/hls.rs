//! Rules of playlists, of their low-latency form, and of how they are served.

use super::{Rule, must, should};

pub(super) const FILE: &[Rule] = &[
    must(
        "file.text",
        "§4.1",
        "A playlist is UTF-8 without byte order mark, control characters and stray white space, and its tags are well formed.",
    ),
    must("file.first-line", "§4.4.1.1", "The first line is #EXTM3U."),
    must(
        "file.attributes",
        "§4.2",
        "Attribute lists have no spaces and no repeated names, and each value has the type its attribute asks for.",
    ),
    must(
        "file.repeat",
        "§4.4.3",
        "A tag that counts for the whole playlist, or once for a segment, stands once.",
    ),
    must("file.mixed", "§4.4.6", "Tags of multivariant and media playlists do not stand in one file."),
    must("file.version", "§8", "EXT-X-VERSION is at least what the tags need."),
    should("file.version-high", "§6.2.1", "EXT-X-VERSION is not above what the tags need."),
    must("file.variable", "§4.4.2.3", "A variable is defined once, and before it is used."),
    should("file.m3u8-rs", "practice", "Another reader, m3u8-rs, sees the same playlist."),
    should("file.tag", "§4.1", "Tags that begin with #EXT are known ones."),
];

pub(super) const MEDIA: &[Rule] = &[
    must("M1", "§4.4.3.1", "TARGETDURATION is there, a whole number of at least 1, and never changes."),
    must("M2", "§4.4.3.1, Apple 7.7", "EXTINF, rounded, is not over TARGETDURATION, nor is it 0."),
    must("M3", "§6.2.4, Apple 8.2", "TARGETDURATION is the same in all renditions."),
    must("M4", "§6.2.2", "MEDIA-SEQUENCE stands before the first segment and never falls."),
    must("M5", "§6.2.1", "A media sequence number keeps its URI, byte range and duration."),
    must(
        "M6",
        "§4.4.3.3, §6.2.2",
        "DISCONTINUITY-SEQUENCE stands before segments and discontinuities, counts those that left, and never falls.",
    ),
    must("M7", "Apple 8.17", "DISCONTINUITY-SEQUENCE is there from the first playlist on."),
    must(
        "M8",
        "§4.4.4.3",
        "A change of file format, of tracks or of the run of time stamps has a DISCONTINUITY.",
    ),
    should("M9", "§4.4.4.3", "A change of encoding parameters has a DISCONTINUITY."),
    must(
        "M10",
        "§6.2.4, Apple 8.15",
        "Discontinuities stand at the same segments, with the same numbers, in all renditions.",
    ),
    must("M11", "§6.2.1", "A new segment is listed within 1.5 target durations of the one before."),
    must(
        "M12",
        "§6.2.2",
        "Segments come at the end and leave at the top, one after the other, and three target durations remain.",
    ),
    must("M13", "§6.2.1", "A listed segment is there at once, whole and at full speed."),
    must(
        "M14",
        "§6.2.2",
        "A segment that left the list stays for its own duration and that of the longest list that held it.",
    ),
    must("M15", "Apple 8.4, §4.4.4.6", "A live playlist has PROGRAM-DATE-TIME with zone and milliseconds."),
    must("M16", "§6.2.4", "If one playlist has dates, all have, and dates and time stamps have one mapping."),
    should("M17", "§6.2.1", "A segment with DISCONTINUITY has a PROGRAM-DATE-TIME."),
    must(
        "M18",
        "§6.2.2",
        "A playlist from which segments leave has no PLAYLIST-TYPE; one of type EVENT only grows.",
    ),
    must("M19", "Apple 8.1", "Sums of EXTINF stay within a picture of the media's duration."),
    must("M20", "§3", "EXTINF is the duration of the pictures, or of the sound where there are none."),
    must("M21", "§3.1.2, Apple 8.20", "Fragmented MP4 segments have an EXT-X-MAP."),
    must("M22", "Apple 8.11", "A live playlist keeps at least six segments."),
    should(
        "M23",
        "§6.2.1, §4.4.4.7",
        "Missing media is told by GAP, in all renditions alike, and GAP neither comes nor goes.",
    ),
    must("M24", "§6.2.1, §4.4.5.3", "Nothing changes behind ENDLIST, and no PRELOAD-HINT stands beside it."),
    should("M25", "§4.4.2.2", "EXT-X-START does not point within three target durations of a live end."),
    must("M26", "§6.2.4, §4.4.3.8", "SERVER-CONTROL is the same in all renditions and never changes."),
    must("M27", "§4.4.4.8", "BITRATE is within 90 to 110 % of the segment's."),
    must("M28", "§6.2.3, §4.4.4.4", "The KEY of a listed segment does not change."),
    must(
        "key.attributes",
        "§4.4.4.4",
        "KEY names a METHOD, a URI unless the METHOD is NONE, and an IV of 128 bits if any.",
    ),
    must("key.file", "§5.1, §4.4.4.4", "The key of AES-128 is served, as exactly 16 bytes."),
    must(
        "key.decrypt",
        "§4.4.4.4",
        "A segment with AES-128 decrypts with its key and IV to whole blocks with PKCS7 padding.",
    ),
];

pub(super) const MULTIVARIANT: &[Rule] = &[
    should(
        "V1",
        "Apple 9.11, §4.4.2.1",
        "INDEPENDENT-SEGMENTS stands here when every segment starts with an IDR.",
    ),
    must(
        "V2",
        "§4.4.6.2, Apple 1.29",
        "Each variant has BANDWIDTH, and the measured peak is below 125 % of it.",
    ),
    must(
        "V3",
        "Apple 9.14, 1.28",
        "Each variant has AVERAGE-BANDWIDTH, not over BANDWIDTH, and the measured average is below 110 % of it.",
    ),
    must(
        "V4",
        "Apple 9.1, 9.3, §6.2.4",
        "Each variant has CODECS, which name exactly the formats its segments hold, and does not change.",
    ),
    must(
        "V5",
        "Apple 9.2, 9.4, 9.15",
        "Variants with pictures have RESOLUTION and FRAME-RATE as their segments have them.",
    ),
    must("V6", "Apple 9.16", "VIDEO-RANGE is SDR, HLG or PQ."),
    must("V7", "§4.4.6.2", "CLOSED-CAPTIONS is NONE on all variants or on none, else on all a group's name."),
    must("V8", "§4.4.6.2", "AUDIO, VIDEO and SUBTITLES name groups that exist."),
    must(
        "V9",
        "§4.4.6.1",
        "Within a group names are distinct, one is DEFAULT=YES at most, and that one is AUTOSELECT=YES.",
    ),
    must("V10", "§4.4.6.1.1", "Groups of one TYPE have the same members with the same attributes."),
    must("V11", "Apple 8.10", "Renditions other than VIDEO have a LANGUAGE."),
    should("V12", "§4.4.6.1", "Audio renditions have CHANNELS."),
    must("V13", "§4.4.6.2.1", "SUBTITLES have a URI, CLOSED-CAPTIONS have none."),
    must("V14", "§4.4.6.1", "CLOSED-CAPTIONS have an INSTREAM-ID of CC1 to CC4 or SERVICE1 to SERVICE63."),
    must("V15", "Apple 9.9, 1.33", "Variants differ in bit rate and URI and are alike in aspect ratio."),
    should("V16", "Apple 6.1, §4.4.6.3", "There are I-frame playlists, each with its URI."),
    must("V17", "Apple 9.19", "SCORE is on all variants or on none."),
    should("V18", "Apple 1.32", "The first variant, at which players start, does not change."),
    must("V19", "§6.2.4", "Matching content has matching time stamps."),
    must("V20", "§6.2.4", "No rendition misses content for longer than a target duration."),
    should(
        "V21",
        "§4.4.6.1, Apple 9.5",
        "Renditions of a group are described as the segments have them: CHANNELS and separate sound.",
    ),
    must("iframe.only", "§4.4.6.3, §4.4.3.6", "The list of an I-FRAME-STREAM-INF has I-FRAMES-ONLY."),
    must("iframe.parts", "§4.4.4.9", "An I-frame list has no parts."),
    must("iframe.key", "§4.4.3.6", "Each segment of an I-frame list holds one picture, an I-frame."),
];

pub(super) const METADATA: &[Rule] = &[
    must(
        "date.attributes",
        "§4.4.5.1",
        "DATERANGE has an ID and dates and durations of the right form; END-ON-NEXT has a CLASS and neither DURATION nor END-DATE.",
    ),
    must("date.end", "§4.4.5.1", "END-DATE is START-DATE plus DURATION."),
    must("date.anchor", "§4.4.5.1", "A playlist with a DATERANGE has a PROGRAM-DATE-TIME."),
    must(
        "date.change",
        "§4.4.5.1",
        "Tags with one ID agree in every attribute they share, over time as well.",
    ),
    must("date.gone", "§6.2.1", "A DATERANGE stays while its dates belong to listed segments."),
    must("date.same", "§6.2.4", "Playlists that have DATERANGEs have the same ones."),
    must("date.scte35", "§4.4.5.1.1", "SCTE35 attributes are whole splice_info_sections in hexadecimal."),
];

pub(super) const LOW_LATENCY: &[Rule] = &[
    must(
        "ll.part-inf",
        "§4.4.3.7",
        "A playlist with parts has PART-INF with a PART-TARGET, which never changes.",
    ),
    must("ll.none", "practice", "A playlist that promises parts lists some."),
    must("ll.part-long", "§4.4.4.9", "No part is longer than PART-TARGET."),
    must(
        "ll.part-short",
        "§4.4.4.9",
        "Parts last at least 85 % of PART-TARGET, but for independent ones, the last of a segment and those by a gap.",
    ),
    must(
        "ll.part-kept",
        "§6.2.1",
        "A part keeps its URI, range and duration while it is listed, and parts come at the end alone.",
    ),
    must("ll.part-sum", "§3.2, §4.4.4.9", "The parts of a segment last as long as the segment."),
    must("ll.part-duration", "§4.4.4.9", "A part lasts as long as its samples."),
    must("ll.part-media", "§3.2", "The parts of a segment, one after the other, are the segment."),
    must("ll.part-there", "§6.2.1", "A listed part is there at once and whole."),
    must("ll.part-stays", "§6.2.2", "A part that left the list stays for three target durations more."),
    should(
        "ll.part-old",
        "§6.2.2",
        "Parts leave the list when they are more than three target durations from its end.",
    ),
    must("ll.part-late", "§6.2.1", "A new part is listed within one PART-TARGET of the one before."),
    must(
        "ll.placement",
        "§4.4.4.9",
        "DISCONTINUITY, KEY, MAP and PROGRAM-DATE-TIME of a segment stand before its first part.",
    ),
    must("ll.independent", "§4.4.4.9", "A part with INDEPENDENT=YES begins with a key picture."),
    should("ll.flagged", "§4.4.4.9", "A part that begins with a key picture says INDEPENDENT=YES."),
    must(
        "ll.hold-back",
        "§4.4.3.8",
        "PART-HOLD-BACK stands beside PART-INF and is at least twice PART-TARGET.",
    ),
    must("ll.hold-back-three", "Apple 14.3", "PART-HOLD-BACK is at least three times PART-TARGET."),
    must("ll.hold-back-segments", "§4.4.3.8", "HOLD-BACK is at least three target durations."),
    must(
        "ll.skip-until",
        "§4.4.3.8",
        "CAN-SKIP-UNTIL is at least six target durations, and CAN-SKIP-DATERANGES stands beside it only.",
    ),
    must("ll.can-block", "B.1", "A low-latency playlist has CAN-BLOCK-RELOAD=YES."),
    must("ll.hint", "B.1", "A live low-latency playlist hints at the next part."),
    must("ll.hint-one", "§4.4.5.3", "There is one PRELOAD-HINT of a TYPE, with its URI."),
    must("ll.hint-uri", "§4.4.5.3, §6.2.6", "What was hinted at is listed next, under that very URI."),
    must("ll.hint-body", "§6.2.6", "The answer to a hinted request is the part that is listed."),
    must(
        "ll.hint-burst",
        "§6.2.6",
        "A hinted part is held back until it is whole and then sent at the speed of the link.",
    ),
    must(
        "ll.report",
        "B.1, §4.4.5.4",
        "A low-latency playlist has a RENDITION-REPORT, with its attributes, for each other rendition.",
    ),
    must(
        "ll.report-uri",
        "§4.4.5.4",
        "A RENDITION-REPORT's URI is that of a rendition of the multivariant playlist.",
    ),
    must(
        "ll.report-fresh",
        "§4.4.5.4",
        "A RENDITION-REPORT is as new as the playlist it stands in and never ahead of what it reports.",
    ),
    must(
        "ll.delta",
        "§6.2.5.1",
        "A request with _HLS_skip gets a delta update when it was offered and there is something to skip.",
    ),
    must(
        "ll.delta-merge",
        "§6.2.5.1, §4.4.5.2",
        "A delta update put together with the playlist before is the whole playlist.",
    ),
    must(
        "ll.delta-form",
        "§4.4.5.2",
        "SKIP stands in delta updates alone, once, behind MEDIA-SEQUENCE, and skips something.",
    ),
    must(
        "ll.delta-boundary",
        "§6.2.5.1",
        "Only segments further than CAN-SKIP-UNTIL from the end are skipped.",
    ),
    must("ll.block", "§6.2.5.2", "The answer to a blocking request holds what was asked for."),
    must(
        "ll.block-wait",
        "§6.2.5.2",
        "A blocking request is answered with what it asked for within three target durations.",
    ),
    must("ll.block-old", "§6.2.5.2", "A request for what is listed already is answered at once."),
    must(
        "ll.block-end",
        "§6.2.5.2",
        "A part behind the end of a finished segment means the first of the next one.",
    ),
    should("ll.block-far", "§6.2.5.2", "A request more than two segments ahead gets 400 at once."),
    must("ll.block-bad", "§6.2.5.2", "_HLS_part without _HLS_msn, or a number that is none, gets 400."),
    must(
        "ll.block-ended",
        "§6.2.5.1",
        "A playlist with ENDLIST is given at once, whole, whatever the request asks for.",
    ),
    must("ll.directives", "practice", "No URI in a playlist carries the _HLS_ parameters of a request."),
    must("ll.together", "B.1", "All renditions advance within one PART-TARGET of each other."),
];

pub(super) const HTTP: &[Rule] = &[
    must("http.list", "§6.2.1", "Playlists and manifests can be had at any time."),
    must("http.type", "Apple 10.4, §4", "The media type is the one of the format."),
    must(
        "http.cors",
        "practice",
        "Answers, errors among them, allow other origins (Access-Control-Allow-Origin).",
    ),
    should("http.preflight", "practice", "OPTIONS with a Range header is answered for other origins."),
    should("http.expose", "practice", "Age, Date and the headers of ranges are exposed to other origins."),
    must("http.encoding", "practice", "Media is not compressed for transport."),
    should(
        "http.gzip",
        "§6.2.1, Apple 10.1, B.1",
        "Playlists are compressed when the client accepts it, with Vary: Accept-Encoding.",
    ),
    should(
        "http.etag",
        "practice",
        "A playlist has an ETag, and is answered with 304 while it has not changed.",
    ),
    must("http.head", "RFC 9110 §9.3.2", "HEAD is answered as GET, without a body."),
    must(
        "http.range",
        "RFC 9110 §14",
        "A byte range of media is answered with 206, Content-Range and those very bytes, one behind the end with 416.",
    ),
    should(
        "http.cache",
        "§6.2.5, B.1",
        "Cache-Control lets lists live for less than a target duration, or six when blocked for, and media for longer.",
    ),
    must("http.redirect", "Apple 8.18", "Media is not redirected."),
    should("http.h2", "B.1", "Low-latency playlists over TLS are served by HTTP/2."),
    must("http.modified", "Apple 8.24", "Last-Modified is not three target durations older than Date."),
    should("http.extension", "practice", "Names end in an extension that players know."),
    must("ffmpeg", "practice", "FFmpeg decodes the segments without an error."),
];
