//! What a path asks for. Pure: the router looks up and answers, this only reads.

use hls::presentation::Family;
use media::{Epoch, MediaSequence, StreamName};

/// A path, read. Names borrow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route<'a> {
    /// `/`: the live streams.
    Home,
    /// `/watch/{name}`: the watch page.
    Watch(&'a str),
    /// `/embed/{name}`: the bare player, for an iframe.
    Embed(&'a str),
    /// `/assets/{file}`: a bundled file whose name changes with its content.
    Asset(&'a str),
    /// `/live/{name}/index.m3u8`.
    Multivariant(&'a str),
    /// `/live/{name}/ll.m3u8`: the same of fragmented MP4, in low latency.
    LowLatency(&'a str),
    /// `/live/{name}/thumbnail.jpg`.
    Thumbnail(&'a str),
    /// `/live/{name}/poster.jpg`.
    Poster(&'a str),
    /// `/live/{name}/storyboard.vtt`.
    Storyboard(&'a str),
    /// `/live/{name}/storyboard-{id}.jpg`.
    Sheet(&'a str, u64),
    /// `/live/{name}/{session}/{rendition}/index.m3u8`.
    Playlist(RenditionPath<'a>),
    /// `/live/{name}/{session}/{rendition}/iframes.m3u8`.
    Iframes(RenditionPath<'a>),
    /// `/live/{name}/{session}/{rendition}/{msn}.ts`, or `.m4s` where it is fragmented MP4.
    Segment(RenditionPath<'a>, MediaSequence, Family),
    /// `/live/{name}/{session}/{rendition}/{msn}.{part}.m4s`.
    Part(RenditionPath<'a>, MediaSequence, u32),
    /// `/live/{name}/{session}/{rendition}/init-{hash}.mp4`.
    Init(RenditionPath<'a>, &'a str),
    /// `/api/v1/streams`.
    Streams,
    /// `/api/v1/streams/{name}`.
    Stream(&'a str),
    /// `/healthz`.
    Health,
    /// `/readyz`.
    Ready,
    /// `/metrics`.
    Metrics,
    /// None of ours.
    Unknown,
}

/// Where a rendition's objects stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RenditionPath<'a> {
    /// The stream's public name.
    pub name: &'a str,
    /// The publication.
    pub session: Epoch,
    /// The rendition's id.
    pub rendition: &'a str,
}

impl<'a> Route<'a> {
    /// Reads a path without its query. Only the one canonical spelling of each route is ours: our names need no percent
    /// encoding, so a path that holds any is unknown, and numbers have neither sign nor leading zero.
    pub fn parse(path: &'a str) -> Self {
        let Some(rest) = path.strip_prefix('/') else { return Self::Unknown };
        let mut parts = [""; 6];
        let mut count = 0;
        for part in rest.split('/') {
            if count == parts.len() {
                return Self::Unknown;
            }
            parts[count] = part;
            count += 1;
        }
        match parts[..count] {
            [""] => Self::Home,
            ["healthz"] => Self::Health,
            ["readyz"] => Self::Ready,
            ["metrics"] => Self::Metrics,
            ["watch", name] if is_name(name) => Self::Watch(name),
            ["embed", name] if is_name(name) => Self::Embed(name),
            ["assets", file] if is_file(file) => Self::Asset(file),
            ["api", "v1", "streams"] => Self::Streams,
            ["api", "v1", "streams", name] if is_name(name) => Self::Stream(name),
            ["live", name, "index.m3u8"] if is_name(name) => Self::Multivariant(name),
            ["live", name, "ll.m3u8"] if is_name(name) => Self::LowLatency(name),
            ["live", name, "thumbnail.jpg"] if is_name(name) => Self::Thumbnail(name),
            ["live", name, "poster.jpg"] if is_name(name) => Self::Poster(name),
            ["live", name, "storyboard.vtt"] if is_name(name) => Self::Storyboard(name),
            ["live", name, file] if is_name(name) => {
                let id = file.strip_prefix("storyboard-").and_then(|rest| rest.strip_suffix(".jpg"));
                id.and_then(number).map_or(Self::Unknown, |id| Self::Sheet(name, id))
            }
            ["live", name, session, rendition, file] if is_name(name) && is_file(rendition) => {
                let Some(session) = number(session).map(Epoch) else { return Self::Unknown };
                let place = RenditionPath { name, session, rendition };
                Self::of_rendition(place, file).unwrap_or(Self::Unknown)
            }
            _ => Self::Unknown,
        }
    }

    fn of_rendition(place: RenditionPath<'a>, file: &'a str) -> Option<Self> {
        match file {
            "index.m3u8" => return Some(Self::Playlist(place)),
            "iframes.m3u8" => return Some(Self::Iframes(place)),
            _ if file.starts_with("init-") && file.ends_with(".mp4") && is_file(file) => {
                return Some(Self::Init(place, file));
            }
            _ => {}
        }
        if let Some(stem) = file.strip_suffix(".ts") {
            return Some(Self::Segment(place, MediaSequence(number(stem)?), Family::Ts));
        }
        let stem = file.strip_suffix(".m4s")?;
        match stem.split_once('.') {
            None => Some(Self::Segment(place, MediaSequence(number(stem)?), Family::Cmaf)),
            Some((sequence, part)) => {
                let part = u32::try_from(number(part)?).ok()?;
                Some(Self::Part(place, MediaSequence(number(sequence)?), part))
            }
        }
    }

    /// The stream a route speaks of.
    pub fn stream(&self) -> Option<&'a str> {
        match *self {
            Self::Watch(name)
            | Self::Embed(name)
            | Self::Multivariant(name)
            | Self::LowLatency(name)
            | Self::Stream(name)
            | Self::Thumbnail(name)
            | Self::Poster(name)
            | Self::Storyboard(name)
            | Self::Sheet(name, _) => Some(name),
            Self::Playlist(place)
            | Self::Iframes(place)
            | Self::Segment(place, ..)
            | Self::Part(place, ..)
            | Self::Init(place, _) => Some(place.name),
            _ => None,
        }
    }

    /// The route's kind, as metrics count it: few values, whatever peers ask for.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Home | Self::Watch(_) | Self::Embed(_) => "page",
            Self::Asset(_) => "asset",
            Self::Multivariant(_) | Self::LowLatency(_) => "multivariant",
            Self::Playlist(_) | Self::Iframes(_) => "playlist",
            Self::Segment(..) | Self::Init(..) => "segment",
            Self::Part(..) => "part",
            Self::Thumbnail(_) | Self::Poster(_) | Self::Storyboard(_) | Self::Sheet(..) => "picture",
            Self::Streams | Self::Stream(_) => "api",
            Self::Health | Self::Ready => "health",
            Self::Metrics => "metrics",
            Self::Unknown => "unknown",
        }
    }
}

fn is_name(text: &str) -> bool {
    text.parse::<StreamName>().is_ok()
}

/// Bundled files and rendition ids keep to the letters of stream names.
fn is_file(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 128
        && !text.starts_with('.')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// A decimal number in its only spelling.
pub(crate) fn number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: RenditionPath<'_> = RenditionPath { name: "show", session: Epoch(17), rendition: "720p" };

    #[test]
    fn each_path_has_one_meaning() {
        for (path, want) in [
            ("/", Route::Home),
            ("/watch/show", Route::Watch("show")),
            ("/embed/my-show_1.2", Route::Embed("my-show_1.2")),
            ("/assets/index-B4x_9.js", Route::Asset("index-B4x_9.js")),
            ("/live/show/index.m3u8", Route::Multivariant("show")),
            ("/live/show/17/720p/index.m3u8", Route::Playlist(PLACE)),
            ("/live/show/ll.m3u8", Route::LowLatency("show")),
            ("/live/show/17/720p/iframes.m3u8", Route::Iframes(PLACE)),
            ("/live/show/17/720p/0.ts", Route::Segment(PLACE, MediaSequence(0), Family::Ts)),
            ("/live/show/17/720p/1042.ts", Route::Segment(PLACE, MediaSequence(1042), Family::Ts)),
            ("/live/show/17/720p/1042.m4s", Route::Segment(PLACE, MediaSequence(1042), Family::Cmaf)),
            ("/live/show/17/720p/1042.0.m4s", Route::Part(PLACE, MediaSequence(1042), 0)),
            ("/live/show/17/720p/init-0123abcd.mp4", Route::Init(PLACE, "init-0123abcd.mp4")),
            ("/live/show/thumbnail.jpg", Route::Thumbnail("show")),
            ("/live/show/poster.jpg", Route::Poster("show")),
            ("/live/show/storyboard.vtt", Route::Storyboard("show")),
            ("/live/show/storyboard-1795348800040.jpg", Route::Sheet("show", 1_795_348_800_040)),
            ("/api/v1/streams", Route::Streams),
            ("/api/v1/streams/show", Route::Stream("show")),
            ("/healthz", Route::Health),
            ("/readyz", Route::Ready),
            ("/metrics", Route::Metrics),
            // A stream may be called like one of our files.
            ("/live/index.m3u8/index.m3u8", Route::Multivariant("index.m3u8")),
        ] {
            assert_eq!(Route::parse(path), want, "{path}");
        }
    }

    #[test]
    fn anything_else_is_unknown() {
        for path in [
            "",
            "*",
            "live/show/index.m3u8",
            "//",
            "/watch",
            "/watch/",
            "/watch/show/",
            "/watch/a b",
            "/watch/..",
            "/watch/%2e%2e",
            "/assets/",
            "/assets/../secret",
            "/assets/.hidden",
            "/assets/a/b.js",
            "/live/show",
            "/live/show.m3u8",
            "/live/show/",
            "/live//index.m3u8",
            "/live/.show/index.m3u8",
            "/live/show/index.m3u",
            "/live/show/thumbnail.png",
            "/live/show/storyboard-.jpg",
            "/live/show/storyboard-01.jpg",
            "/live/show/storyboard-x.jpg",
            "/live/show/storyboard-1.vtt",
            "/live/.show/poster.jpg",
            "/live/show/x/720p/index.m3u8",
            "/live/show/017/720p/index.m3u8",
            "/live/show/17//index.m3u8",
            "/live/show/17/720p/",
            "/live/show/17/720p/-1.ts",
            "/live/show/17/720p/+1.ts",
            "/live/show/17/720p/01.ts",
            "/live/show/17/720p/.ts",
            "/live/show/17/720p/1.mp4",
            "/live/show/17/720p/1.0.ts",
            "/live/show/17/720p/1..m4s",
            "/live/show/17/720p/1.00.m4s",
            "/live/show/17/720p/1.0.0.m4s",
            "/live/show/17/720p/1.4294967296.m4s",
            "/live/show/17/720p/init-.mp5",
            "/live/show/17/720p/init-a/b.mp4",
            "/live/show/17/720p/99999999999999999999.ts",
            "/live/show/17/720p/1.ts/",
            "/live/show/17/720p/1.ts/2/3/4/5",
            "/api/v1/streams/",
            "/api/v2/streams",
            "/Healthz",
        ] {
            assert_eq!(Route::parse(path), Route::Unknown, "{path}");
        }
    }
}
