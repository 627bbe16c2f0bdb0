//! An MPD read into values (ISO/IEC 23009-1 §5.3); what has no right form is told as it is met.

use super::values::{date, duration, frame_rate};
use crate::report::Findings;
use roxmltree::{Document, Node};

const NAMESPACE: &str = "urn:mpeg:dash:schema:mpd:2011";
/// Most segments that one S element may stand for, and most S elements that are read.
const REPEATS: u64 = 100_000;

/// The whole MPD. Times are microseconds, dates those of Unix time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mpd {
    pub(super) dynamic: bool,
    pub(super) profiles: Option<String>,
    pub(super) available: Option<i64>,
    pub(super) published: Option<i64>,
    pub(super) update: Option<i64>,
    pub(super) shift: Option<i64>,
    pub(super) delay: Option<i64>,
    pub(super) min_buffer: Option<i64>,
    pub(super) max_segment: Option<i64>,
    pub(super) duration: Option<i64>,
    pub(super) base: Option<String>,
    /// Scheme and value of each UTCTiming.
    pub(super) clocks: Vec<(String, String)>,
    /// A ServiceDescription tells a target latency.
    pub(super) latency: bool,
    pub(super) periods: Vec<Period>,
}

/// A Period.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Period {
    pub(super) id: Option<String>,
    pub(super) start: Option<i64>,
    pub(super) duration: Option<i64>,
    pub(super) base: Option<String>,
    pub(super) sets: Vec<Set>,
}

/// An AdaptationSet.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Set {
    pub(super) id: Option<String>,
    pub(super) base: Option<String>,
    pub(super) aligned: bool,
    pub(super) producer: bool,
    pub(super) representations: Vec<Representation>,
}

/// A Representation, with what it takes over from its set.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Representation {
    pub(super) id: String,
    pub(super) bandwidth: Option<u64>,
    pub(super) mime: Option<String>,
    pub(super) codecs: Option<String>,
    pub(super) size: Option<(u32, u32)>,
    pub(super) frame_rate: Option<f64>,
    pub(super) base: Option<String>,
    pub(super) template: Option<Template>,
}

impl Representation {
    pub(super) fn is_video(&self) -> bool {
        self.mime.as_deref().is_some_and(|m| m.starts_with("video/"))
    }
}

/// A SegmentTemplate, its three levels put together.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Template {
    /// None where it is not written, which stands for 1.
    pub(super) timescale: Option<u64>,
    pub(super) offset: u64,
    pub(super) start: u64,
    pub(super) duration: Option<u64>,
    pub(super) timeline: Option<Vec<Span>>,
    pub(super) media: Option<String>,
    pub(super) header: Option<String>,
    /// availabilityTimeOffset, microseconds; None for INF.
    pub(super) early: Option<i64>,
    pub(super) complete: Option<bool>,
}

impl Template {
    pub(super) fn scale(&self) -> u64 {
        self.timescale.unwrap_or(1).max(1)
    }
}

/// One segment of a timeline, in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) time: u64,
    pub(super) duration: u64,
}

struct Reader<'f> {
    place: &'f str,
    found: &'f mut Findings,
}

/// Reads the text; None when it is no MPD at all.
pub(super) fn parse(text: &str, place: &str, found: &mut Findings) -> Option<Mpd> {
    let document = match Document::parse(text) {
        Ok(document) => document,
        Err(error) => {
            found.violation("dash.xml", place, error.to_string());
            return None;
        }
    };
    let root = document.root_element();
    if root.tag_name().name() != "MPD" {
        found.violation("dash.xml", place, format!("the root is {}", root.tag_name().name()));
        return None;
    }
    if root.tag_name().namespace() != Some(NAMESPACE) {
        found.violation("dash.xml", place, format!("name space {:?}", root.tag_name().namespace()));
    }
    Some(Reader { place, found }.mpd(root))
}

fn children<'a, 'i>(node: Node<'a, 'i>, name: &'static str) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(move |child| child.tag_name().name() == name)
}

fn base(node: Node<'_, '_>) -> Option<String> {
    children(node, "BaseURL").next().and_then(|b| b.text()).map(|t| t.trim().to_owned())
}

fn text(node: Node<'_, '_>, name: &str) -> Option<String> {
    node.attribute(name).map(str::to_owned)
}

impl Reader<'_> {
    /// An attribute of a form that `read` understands.
    fn value<T>(&mut self, node: Node<'_, '_>, name: &str, read: impl Fn(&str) -> Option<T>) -> Option<T> {
        let text = node.attribute(name)?;
        let value = read(text);
        if value.is_none() {
            let at = node.document().text_pos_at(node.range().start);
            let detail = format!("{}@{name} is {text:?} at {at}", node.tag_name().name());
            self.found.violation("dash.xml", self.place, detail);
        }
        value
    }

    fn mpd(&mut self, node: Node<'_, '_>) -> Mpd {
        let kind = node.attribute("type").unwrap_or("static");
        if !matches!(kind, "static" | "dynamic") {
            self.found.violation("dash.xml", self.place, format!("MPD@type is {kind:?}"));
        }
        let clocks = children(node, "UTCTiming")
            .map(|c| (text(c, "schemeIdUri").unwrap_or_default(), text(c, "value").unwrap_or_default()))
            .collect();
        let latency = children(node, "ServiceDescription")
            .any(|s| children(s, "Latency").any(|l| l.attribute("target").is_some()));
        let periods = children(node, "Period").map(|p| self.period(p)).collect();
        Mpd {
            dynamic: kind == "dynamic",
            profiles: text(node, "profiles"),
            available: self.value(node, "availabilityStartTime", date),
            published: self.value(node, "publishTime", date),
            update: self.value(node, "minimumUpdatePeriod", duration),
            shift: self.value(node, "timeShiftBufferDepth", duration),
            delay: self.value(node, "suggestedPresentationDelay", duration),
            min_buffer: self.value(node, "minBufferTime", duration),
            max_segment: self.value(node, "maxSegmentDuration", duration),
            duration: self.value(node, "mediaPresentationDuration", duration),
            base: base(node),
            clocks,
            latency,
            periods,
        }
    }

    fn period(&mut self, node: Node<'_, '_>) -> Period {
        let sets = children(node, "AdaptationSet").map(|s| self.set(node, s)).collect();
        Period {
            id: text(node, "id"),
            start: self.value(node, "start", duration),
            duration: self.value(node, "duration", duration),
            base: base(node),
            sets,
        }
    }

    fn set(&mut self, period: Node<'_, '_>, node: Node<'_, '_>) -> Set {
        let representations =
            children(node, "Representation").map(|r| self.representation(period, node, r)).collect();
        Set {
            id: text(node, "id"),
            base: base(node),
            aligned: matches!(node.attribute("segmentAlignment"), Some("true" | "1")),
            producer: children(node, "ProducerReferenceTime").next().is_some(),
            representations,
        }
    }

    fn representation(
        &mut self,
        period: Node<'_, '_>,
        set: Node<'_, '_>,
        node: Node<'_, '_>,
    ) -> Representation {
        let own = |name: &str| node.attribute(name).or(set.attribute(name)).map(str::to_owned);
        let of = |name: &str| if node.attribute(name).is_some() { node } else { set };
        let integer = |t: &str| t.parse::<u32>().ok();
        let width = self.value(of("width"), "width", integer);
        let height = self.value(of("height"), "height", integer);
        let templates: Vec<Node<'_, '_>> = [node, set, period]
            .into_iter()
            .filter_map(|level| children(level, "SegmentTemplate").next())
            .collect();
        Representation {
            id: text(node, "id").unwrap_or_default(),
            bandwidth: self.value(node, "bandwidth", |t| t.parse().ok().filter(|b| *b > 0)),
            mime: own("mimeType"),
            codecs: own("codecs"),
            size: width.zip(height),
            frame_rate: self.value(of("frameRate"), "frameRate", frame_rate),
            base: base(node),
            template: (!templates.is_empty()).then(|| self.template(&templates)),
        }
    }

    /// The levels of a template, the innermost first.
    fn template(&mut self, levels: &[Node<'_, '_>]) -> Template {
        let find = |name: &str| levels.iter().copied().find(|l| l.attribute(name).is_some());
        let number = |t: &str| t.parse::<u64>().ok().filter(|n| *n < 1 << 53);
        let mut integer = |name: &str| find(name).and_then(|level| self.value(level, name, number));
        let (timescale, offset, start, duration) = (
            integer("timescale"),
            integer("presentationTimeOffset"),
            integer("startNumber"),
            integer("duration"),
        );
        let string = |name: &str| find(name).and_then(|level| text(level, name));
        let early = match string("availabilityTimeOffset").as_deref() {
            None => Some(0),
            Some("INF") => None,
            Some(other) => {
                let micros = crate::hlscheck::micros(other);
                if micros.is_none() {
                    let detail = format!("SegmentTemplate@availabilityTimeOffset is {other:?}");
                    self.found.violation("dash.xml", self.place, detail);
                }
                Some(micros.unwrap_or(0))
            }
        };
        let timeline = levels.iter().find_map(|level| children(*level, "SegmentTimeline").next());
        Template {
            timescale,
            offset: offset.unwrap_or(0),
            start: start.unwrap_or(1),
            duration,
            timeline: timeline.map(|node| self.timeline(node)),
            media: string("media"),
            header: string("initialization"),
            early,
            complete: string("availabilityTimeComplete").map(|t| matches!(t.as_str(), "true" | "1")),
        }
    }

    fn timeline(&mut self, node: Node<'_, '_>) -> Vec<Span> {
        let mut out: Vec<Span> = Vec::new();
        let spans: Vec<Node<'_, '_>> = children(node, "S").collect();
        let number = |t: &str| t.parse::<u64>().ok().filter(|n| *n < 1 << 53);
        for (n, s) in spans.iter().enumerate() {
            let end = out.last().map(|last| last.time + last.duration);
            let time = self.value(*s, "t", number);
            if let (Some(time), Some(end)) = (time, end)
                && time != end
            {
                let text = format!("S@t is {time}, the segment before ends at {end}");
                self.found.violation("dash.timeline", self.place, text);
            }
            let Some(duration) = self.value(*s, "d", number).filter(|d| *d > 0) else {
                self.found.violation("dash.timeline", self.place, "S without d");
                continue;
            };
            let mut time = time.or(end).unwrap_or(0);
            let repeat = self.value(*s, "r", |t| t.parse::<i64>().ok()).unwrap_or(0);
            // A negative count reaches to the next S; without one it is of no use to a live edge that must be told.
            let until = spans.get(n + 1).and_then(|next| next.attribute("t")).and_then(number);
            let count = match u64::try_from(repeat) {
                Ok(repeat) => repeat + 1,
                Err(_) => until.map_or(1, |until| until.saturating_sub(time).div_ceil(duration)),
            };
            for _ in 0..count.min(REPEATS) {
                out.push(Span { time, duration });
                time += duration;
            }
            if out.len() as u64 > REPEATS {
                break;
            }
        }
        out
    }
}
