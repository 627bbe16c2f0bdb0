//! What readers of a stream see: one immutable picture of all its renditions, published as a whole after each change.
//!
//! Everything a player may ask for is in it: lists (rendered at the first asking, once, then shared), and segments by
//! number, those that left the list lately included. Renditions advance independently of each other.

use std::{
    io::Write,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use media::{Epoch, MediaSequence, MediaSpan, StreamName};

use crate::{
    Init, Opening, Part, Segment,
    lowlatency::{Skip, Standing},
    playlist::{Iframes, LowLatency, Media, Multivariant, Report},
    presentation::{Family, Role, VideoSpec},
};

/// Where a stream stands in its life.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Phase {
    /// Nothing to play yet.
    Starting,
    /// The publisher is there.
    Live,
    /// The publisher is gone and may come back; lists go on.
    Held,
    /// Over: every list has its end.
    Ended,
}

/// An immutable view of one stream. Cheap to share, never changes.
#[derive(Debug)]
pub struct Snapshot {
    pub(crate) name: StreamName,
    pub(crate) session: Epoch,
    pub(crate) phase: Phase,
    pub(crate) target_duration: u32,
    pub(crate) renditions: Vec<RenditionView>,
    pub(crate) multivariant: Option<Arc<LazyMultivariant>>,
    pub(crate) low_latency: Option<Arc<LazyMultivariant>>,
}

/// One rendition as the snapshot holds it. A clone shares.
#[derive(Clone, Debug)]
pub struct RenditionView(pub(crate) Arc<ViewInner>);

#[derive(Debug)]
pub(crate) struct ViewInner {
    pub(crate) id: String,
    pub(crate) family: Family,
    pub(crate) role: Role,
    pub(crate) video: Option<VideoSpec>,
    pub(crate) codecs: String,
    pub(crate) declared_bps: u64,
    pub(crate) declared_average_bps: u64,
    pub(crate) keyframe_peak_bps: u64,
    pub(crate) measured_peak_bps: u64,
    pub(crate) measured_average_bps: u64,
    pub(crate) overlong_segments: u64,
    pub(crate) target_duration: u32,
    pub(crate) ended: bool,
    /// Discontinuity number of the first listed segment, before its own tag.
    pub(crate) discontinuity_sequence: u64,
    /// In order of their numbers, without holes; those before `first_listed` have left the list.
    pub(crate) held: Arc<Vec<Arc<Segment>>>,
    pub(crate) first_listed: usize,
    pub(crate) open: Option<OpenSegment>,
    /// PART-TARGET, of fragmented MP4.
    pub(crate) part_target: Option<MediaSpan>,
    /// CAN-SKIP-UNTIL, where delta updates are offered.
    pub(crate) skip_until: Option<MediaSpan>,
    pub(crate) documents: Documents,
}

/// What was rendered of one state of a rendition.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    whole: OnceLock<Document>,
    delta: OnceLock<Document>,
    delta_of_dates: OnceLock<Document>,
    iframes: OnceLock<Document>,
}

/// A segment of fragmented MP4 that has begun.
#[derive(Clone, Debug)]
pub struct OpenSegment {
    /// What a list says of it before its parts; the discontinuity as all renditions have agreed.
    pub opening: Opening,
    /// Its parts so far.
    pub parts: Vec<Part>,
}

impl OpenSegment {
    /// How long its parts are together.
    pub fn duration(&self) -> MediaSpan {
        self.parts.iter().fold(MediaSpan::ZERO, |sum, part| sum + part.duration)
    }
}

/// The multivariant playlist, rendered when first asked for.
#[derive(Debug)]
pub(crate) struct LazyMultivariant {
    pub(crate) values: Multivariant,
    document: OnceLock<Document>,
}

impl LazyMultivariant {
    pub(crate) fn new(values: Multivariant) -> Self {
        Self { values, document: OnceLock::new() }
    }

    fn document(&self) -> &Document {
        self.document.get_or_init(|| Document::new(self.values.render()))
    }
}

impl Snapshot {
    /// The stream's public name.
    pub fn name(&self) -> &StreamName {
        &self.name
    }

    /// The publication's epoch: the `{session}` of its URLs.
    pub fn session(&self) -> Epoch {
        self.session
    }

    /// Where the stream stands.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// EXT-X-TARGETDURATION, in seconds; the same for the life of the stream.
    pub fn target_duration(&self) -> u32 {
        self.target_duration
    }

    /// The multivariant playlist of transport streams. `None` until every rendition knows its CODECS and its BANDWIDTH and
    /// one of them has a segment. URIs inside are `{session}/{rendition}/index.m3u8`.
    pub fn multivariant(&self) -> Option<&Document> {
        self.multivariant.as_deref().map(LazyMultivariant::document)
    }

    /// The same of fragmented MP4, in low latency. `None` for ever where there is none.
    pub fn low_latency(&self) -> Option<&Document> {
        self.low_latency.as_deref().map(LazyMultivariant::document)
    }

    /// Whether some rendition is of that family.
    pub fn has(&self, family: Family) -> bool {
        self.renditions.iter().any(|view| view.family() == family)
    }

    /// A rendition's media playlist, or a delta update of it where that is offered. `None` while it has no segment, and
    /// where there is no such rendition. URIs inside are `{number}.ts`, or those of fragmented MP4.
    pub fn playlist(&self, id: &str, skip: Option<Skip>) -> Option<&Document> {
        let view = self.rendition(id)?;
        let inner = &*view.0;
        // A list in low latency tells of its siblings: as fresh as they are when it is first asked for.
        let reports = || match inner.part_target {
            Some(_) => self.siblings(view).filter_map(RenditionView::report).collect(),
            None => Vec::new(),
        };
        if view.listed().is_empty() && view.open().is_none_or(|open| open.parts.is_empty()) {
            return None;
        }
        let rendered = |document: fn(&Documents) -> &OnceLock<Document>| {
            document(&inner.documents).get_or_init(|| {
                let reports = reports();
                let list = view.media(&reports);
                Document::new(skip.map_or_else(|| list.render(), |skip| list.render_delta(skip)))
            })
        };
        Some(match skip {
            None => rendered(|documents| &documents.whole),
            Some(Skip::Segments) => rendered(|documents| &documents.delta),
            Some(Skip::SegmentsAndDates) => rendered(|documents| &documents.delta_of_dates),
        })
    }

    /// The other renditions of the same family.
    fn siblings<'a>(&'a self, view: &'a RenditionView) -> impl Iterator<Item = &'a RenditionView> {
        self.renditions.iter().filter(|other| other.family() == view.family() && !other.is(view))
    }

    /// All renditions, in the order they were declared.
    pub fn renditions(&self) -> &[RenditionView] {
        &self.renditions
    }

    /// The rendition of that id.
    pub fn rendition(&self, id: &str) -> Option<&RenditionView> {
        self.renditions.iter().find(|view| view.id() == id)
    }
}

impl RenditionView {
    /// The name in URLs.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// What its list says.
    fn media<'a>(&'a self, reports: &'a [Report]) -> Media<'a> {
        let inner = &*self.0;
        Media {
            target_duration: inner.target_duration,
            discontinuity_sequence: inner.discontinuity_sequence,
            segments: self.listed(),
            ended: inner.ended,
            low_latency: inner.part_target.map(|part_target| LowLatency {
                part_target,
                skip_until: inner.skip_until,
                open: self.open(),
                next: self.next(),
                reports,
            }),
        }
    }

    /// The list of its keyframes. `None` for sound alone, and while it has no segment.
    pub fn iframes(&self) -> Option<&Document> {
        let inner = &*self.0;
        let segments = self.listed();
        if inner.video.is_none() || segments.is_empty() {
            return None;
        }
        Some(inner.documents.iframes.get_or_init(|| {
            let list = Iframes {
                target_duration: inner.target_duration,
                discontinuity_sequence: inner.discontinuity_sequence,
                segments,
                ended: inner.ended,
                fragmented: inner.family == Family::Cmaf,
            };
            Document::new(list.render())
        }))
    }

    /// What the lists of its siblings say of it.
    fn report(&self) -> Option<Report> {
        let uri = format!("../{}/index.m3u8", self.id());
        let (sequence, parts) = match self.open().filter(|open| !open.parts.is_empty()) {
            Some(open) => (open.opening.sequence, open.parts.len()),
            None => {
                let last = self.listed().last()?;
                (last.sequence, last.parts.len())
            }
        };
        let part = parts.checked_sub(1).and_then(|last| u32::try_from(last).ok());
        Some(Report { uri, sequence, part })
    }

    /// How far it is, for those who ask for what is to come.
    pub fn standing(&self) -> Standing {
        let count = |parts: &[Part]| u32::try_from(parts.len()).unwrap_or(u32::MAX);
        let last = self.listed().last();
        Standing {
            last: last.map(|last| last.sequence),
            last_parts: last.map_or(0, |last| count(&last.parts)),
            open_parts: self.open().map_or(0, |open| count(&open.parts)),
            first: self.next(),
            part_target: self.0.part_target,
            can_skip: self.0.part_target.is_some() && self.0.skip_until.is_some(),
            ended: self.0.ended,
        }
    }

    /// The number of the segment that has begun or will begin next.
    fn next(&self) -> MediaSequence {
        match (self.open(), self.newest()) {
            (Some(open), _) => open.opening.sequence,
            (None, Some(newest)) => newest.next(),
            (None, None) => MediaSequence(0),
        }
    }

    /// Segments in the list now, in order; gaps included.
    pub fn listed(&self) -> &[Arc<Segment>] {
        &self.0.held[self.0.first_listed..]
    }

    /// The segment of that number, listed or still kept for those who read an older list. Gaps are there too: their
    /// bytes are empty.
    pub fn segment(&self, sequence: MediaSequence) -> Option<&Arc<Segment>> {
        let at = self.0.held.binary_search_by_key(&sequence, |segment| segment.sequence).ok()?;
        self.0.held.get(at)
    }

    /// Whether this is the same view: nothing of the rendition has changed.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// What its segments are.
    pub fn family(&self) -> Family {
        self.0.family
    }

    /// What the multivariant playlist lists it as.
    pub fn role(&self) -> &Role {
        &self.0.role
    }

    /// The segment that has begun; `None` in a transport stream, and between two segments.
    pub fn open(&self) -> Option<&OpenSegment> {
        self.0.open.as_ref()
    }

    /// One part, of the open segment or of one that is held.
    pub fn part(&self, sequence: MediaSequence, index: u32) -> Option<&Part> {
        let parts = match self.open() {
            Some(open) if open.opening.sequence == sequence => &open.parts,
            _ => &self.segment(sequence)?.parts,
        };
        parts.get(index as usize)
    }

    /// The header of that name, which some segment needs that is held or open.
    pub fn init(&self, name: &str) -> Option<&Arc<Init>> {
        let open = self.open().map(|open| &open.opening.init);
        let held = self.0.held.iter().rev().filter_map(|segment| segment.init.as_ref());
        open.into_iter().chain(held).find(|init| init.name == name)
    }

    /// Picture size and rate; `None` for sound alone.
    pub fn video(&self) -> Option<&VideoSpec> {
        self.0.video.as_ref()
    }

    /// CODECS of what is inside; empty until known.
    pub fn codecs(&self) -> &str {
        &self.0.codecs
    }

    /// BANDWIDTH as the multivariant playlist tells it, in bits a second; 0 until known.
    pub fn declared_bps(&self) -> u64 {
        self.0.declared_bps
    }

    /// AVERAGE-BANDWIDTH as the multivariant playlist tells it, in bits a second; 0 until known.
    pub fn declared_average_bps(&self) -> u64 {
        self.0.declared_average_bps
    }

    /// Largest rate of its keyframes alone, in bits a second, as in [`Self::measured_peak_bps`].
    pub fn keyframe_peak_bps(&self) -> u64 {
        self.0.keyframe_peak_bps
    }

    /// Largest rate of any run of segments of 0.5 to 1.5 target durations since the start, in bits a second; 0 before
    /// the first.
    pub fn measured_peak_bps(&self) -> u64 {
        self.0.measured_peak_bps
    }

    /// All bits over all time since the start, in bits a second; 0 before the first segment.
    pub fn measured_average_bps(&self) -> u64 {
        self.0.measured_average_bps
    }

    /// Segments so far that were longer than the target duration allows. 0 unless the source breaks its own rhythm.
    pub fn overlong_segments(&self) -> u64 {
        self.0.overlong_segments
    }

    /// The highest number listed.
    pub fn newest(&self) -> Option<MediaSequence> {
        self.0.held.last().map(|segment| segment.sequence)
    }

    /// Bytes of all segments held, listed, kept or open.
    pub fn bytes_held(&self) -> u64 {
        let open = self.open().map(|open| open.parts.iter().map(|part| part.bytes.len() as u64).sum());
        self.0.held.iter().map(|segment| segment.size()).sum::<u64>() + open.unwrap_or(0)
    }
}

/// A rendered playlist: its bytes, compressed bytes, and a strong entity tag for each.
#[derive(Debug)]
pub struct Document {
    body: Bytes,
    gzip: OnceLock<Bytes>,
    etag: String,
    gzip_etag: String,
}

impl Document {
    /// Wraps a rendered text.
    pub fn new(text: String) -> Self {
        let body = Bytes::from(text);
        let hash = fnv1a(&body);
        let len = body.len();
        Self {
            gzip: OnceLock::new(),
            etag: format!("\"{hash:016x}-{len:x}\""),
            gzip_etag: format!("\"{hash:016x}-{len:x}-gz\""),
            body,
        }
    }

    /// The text, UTF-8.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The text, gzipped at the first asking.
    pub fn gzip(&self) -> &Bytes {
        self.gzip.get_or_init(|| {
            let mut encoder = GzEncoder::new(Vec::with_capacity(self.body.len() / 4), Compression::default());
            encoder
                .write_all(&self.body)
                .and_then(|()| encoder.finish())
                .expect("writing into a Vec cannot fail")
                .into()
        })
    }

    /// Entity tag of [`Self::body`], with its quotes.
    pub fn etag(&self) -> &str {
        &self.etag
    }

    /// Entity tag of [`Self::gzip`], with its quotes.
    pub fn gzip_etag(&self) -> &str {
        &self.gzip_etag
    }
}

/// FNV-1a, 64 bits: stable between builds and machines, so that equal lists have equal tags everywhere.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_document_has_two_forms_with_two_tags() {
        let text = "#EXTM3U\n".repeat(50);
        let document = Document::new(text.clone());
        let mut back = String::new();
        flate2::read::GzDecoder::new(&document.gzip()[..]).read_to_string(&mut back).unwrap();
        assert_eq!((back, &document.body()[..]), (text.clone(), text.as_bytes()));
        assert!(document.gzip().len() < text.len() / 4);
        assert_ne!(document.etag(), document.gzip_etag());
        assert!(document.etag().starts_with('"') && document.etag().ends_with('"'));
        assert_eq!(document.etag(), Document::new(text).etag());
        assert_ne!(document.etag(), Document::new("#EXTM3U\n".into()).etag());
        assert_eq!(document.gzip().as_ptr(), document.gzip().as_ptr(), "compressed once");
    }
}
