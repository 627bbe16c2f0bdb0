//! A live low-latency presentation made of nothing but its clock: pictures, sound, I-frames.

use super::server::{Reply, Request, by_the_book};
use crate::cmafcheck::synth::{Bx, audio_header, audio_parts, bytes, video_header, video_parts};
use std::fmt::Write as _;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Segments that are whole when the show begins.
const BEFORE: u64 = 14;
/// Segments of a list.
const WINDOW: u64 = 10;
const PART: f64 = 0.5;
const PARTS: u64 = 4;
/// 2026-11-22T14:00:00Z
const DATE: i64 = 1_795_356_000_000_000;

/// How the show differs from a right one.
#[derive(Clone)]
pub(crate) struct Fault {
    /// Of the text of a list: path and text.
    pub(crate) list: fn(&str, String) -> String,
    /// Of any answer.
    pub(crate) reply: fn(&Request, Reply) -> Reply,
    /// Of the bytes of a segment or part: whether pictures, segment, part.
    pub(crate) media: fn(bool, u64, u64, &mut Vec<Bx>),
    /// Nothing is published after this.
    pub(crate) stops: Option<f64>,
    /// ENDLIST comes at this time.
    pub(crate) ends: Option<f64>,
    /// Sound is published so much later.
    pub(crate) late_sound: f64,
    /// Directives are not understood.
    pub(crate) deaf: bool,
    /// Delta updates are offered.
    pub(crate) skip: bool,
}

impl Default for Fault {
    fn default() -> Self {
        Fault {
            list: |_, text| text,
            reply: |_, reply| reply,
            media: |_, _, _, _| {},
            stops: None,
            ends: None,
            late_sound: 0.0,
            deaf: false,
            skip: true,
        }
    }
}

pub(crate) struct Show {
    started: Instant,
    fault: Fault,
}

impl Show {
    pub(crate) fn new(fault: Fault) -> Self {
        Show { started: Instant::now(), fault }
    }

    /// Parts that are there.
    fn parts(&self, sound: bool) -> u64 {
        let mut now = self.started.elapsed().as_secs_f64();
        now = now.min(self.fault.stops.unwrap_or(now)).min(self.fault.ends.unwrap_or(now));
        if sound {
            now = (now - self.fault.late_sound).max(0.0);
        }
        BEFORE * PARTS + (now / PART) as u64
    }

    fn ended(&self) -> bool {
        self.fault.ends.is_some_and(|at| self.started.elapsed().as_secs_f64() >= at)
    }

    /// Waits until a part is there; false when that is too far.
    fn wait(&self, sound: bool, part: u64) -> bool {
        let patience = Instant::now() + Duration::from_secs(8);
        while self.parts(sound) <= part && !self.ended() {
            if Instant::now() > patience {
                return false;
            }
            sleep(Duration::from_millis(3));
        }
        true
    }

    pub(crate) fn answer(&self, request: &Request) -> Reply {
        let reply = self.whole(request);
        (self.fault.reply)(request, by_the_book(request, reply))
    }

    fn whole(&self, request: &Request) -> Reply {
        let path = request.path.as_str();
        let sound = path.starts_with("/a/");
        let list = |text| Reply::ok("application/vnd.apple.mpegurl", 0, text);
        let edited = |text| list((self.fault.list)(path, text));
        match path {
            "/index.m3u8" => return edited(MULTIVARIANT.to_owned()),
            "/v/iframes.m3u8" => return edited(self.iframes()),
            "/v/init.mp4" => return Reply::ok("video/mp4", 3600, bytes(&self.header(false))),
            "/a/init.mp4" => return Reply::ok("audio/mp4", 3600, bytes(&self.header(true))),
            "/v/index.m3u8" | "/a/index.m3u8" => {
                return self.media_list(request, sound).map_or_else(|e| e, edited);
            }
            _ => {}
        }
        let Some(name) = path
            .rsplit_once('/')
            .and_then(|(_, file)| file.strip_suffix(".m4s").or(file.strip_suffix(".seg")))
        else {
            return Reply::bare(404);
        };
        let kind = if sound { "audio/mp4" } else { "video/mp4" };
        let (segment, part) = match name.split_once('.') {
            Some((segment, part)) => (segment.parse().ok(), part.parse().ok()),
            None => (name.parse().ok(), Some(PARTS - 1)),
        };
        let (Some(segment), Some(part)) = (segment, part) else { return Reply::bare(404) };
        let segment: u64 = segment;
        let whole = !name.contains('.');
        if whole && self.parts(sound) / PARTS <= segment
            || !whole && segment * PARTS + part > self.parts(sound) + 1
        {
            return Reply::bare(404);
        }
        if !self.wait(sound, segment * PARTS + part)
            || (self.ended() && self.parts(sound) <= segment * PARTS + part)
        {
            return Reply::bare(404);
        }
        let all = if sound { audio_parts(segment) } else { video_parts(segment) };
        let mut body = Vec::new();
        for (n, mut boxes) in all.into_iter().enumerate() {
            if whole || n as u64 == part {
                (self.fault.media)(!sound, segment, n as u64 + if whole { 100 } else { 0 }, &mut boxes);
                body.extend(bytes(&boxes));
            }
        }
        Reply::ok(kind, 3600, body)
    }

    fn header(&self, sound: bool) -> Vec<Bx> {
        let mut header = if sound { audio_header() } else { video_header() };
        (self.fault.media)(!sound, u64::MAX, 0, &mut header);
        header
    }

    /// Directives first, as the standard has them.
    fn media_list(&self, request: &Request, sound: bool) -> Result<String, Reply> {
        let number = |name: &str| {
            request.query.get(name).map(|v| v.parse::<u64>().map_err(|_| Reply::bare(400))).transpose()
        };
        let (msn, part) = (number("_HLS_msn")?, number("_HLS_part")?);
        if !self.fault.deaf && !self.ended() {
            let open = self.parts(sound) / PARTS;
            match (msn, part) {
                (None, Some(_)) => return Err(Reply::bare(400)),
                (Some(msn), _) if msn > open + 1 => return Err(Reply::bare(400)),
                // Beyond the segment's end the first part of the next one is meant.
                (Some(msn), part) => drop(self.wait(sound, msn * PARTS + part.unwrap_or(0).min(PARTS))),
                _ => {}
            }
        }
        let skip = request.query.contains_key("_HLS_skip") && self.fault.skip && !self.ended();
        Ok(self.text(sound, skip))
    }

    fn text(&self, sound: bool, skip: bool) -> String {
        let have = self.parts(sound);
        let open = have / PARTS;
        let first = open - WINDOW;
        let ended = self.ended();
        let version = if skip { 9 } else { 6 };
        let mut out = format!("#EXTM3U\n#EXT-X-VERSION:{version}\n#EXT-X-TARGETDURATION:2\n");
        // What was promised stays promised behind the end.
        out += "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.53600,CAN-SKIP-UNTIL=12.0\n";
        out += "#EXT-X-PART-INF:PART-TARGET=0.51200\n";
        write!(out, "#EXT-X-MEDIA-SEQUENCE:{first}\n#EXT-X-DISCONTINUITY-SEQUENCE:0\n").unwrap();
        let from = if skip { first + WINDOW - 7 } else { first };
        if skip {
            writeln!(out, "#EXT-X-SKIP:SKIPPED-SEGMENTS={}", from - first).unwrap();
        }
        out += "#EXT-X-MAP:URI=\"init.mp4\"\n";
        for segment in from..=open {
            let listed = have.saturating_sub(segment * PARTS).min(PARTS);
            if listed == 0 {
                continue;
            }
            writeln!(out, "#EXT-X-PROGRAM-DATE-TIME:{}", date(sound, segment)).unwrap();
            if segment + 3 >= open && !ended {
                for part in 0..listed {
                    let free = if sound || part == 0 { ",INDEPENDENT=YES" } else { "" };
                    let seconds = duration(sound, segment * PARTS + part, 1);
                    writeln!(out, "#EXT-X-PART:DURATION={seconds:.5},URI=\"{segment}.{part}.m4s\"{free}")
                        .unwrap();
                }
            }
            if listed == PARTS {
                writeln!(out, "#EXTINF:{:.5},\n{segment}.m4s", duration(sound, segment * PARTS, PARTS))
                    .unwrap();
            }
        }
        if ended {
            return out + "#EXT-X-ENDLIST\n";
        }
        writeln!(out, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{}.{}.m4s\"", have / PARTS, have % PARTS).unwrap();
        let other = self.parts(!sound) - 1;
        let name = if sound { "v" } else { "a" };
        writeln!(
            out,
            "#EXT-X-RENDITION-REPORT:URI=\"../{name}/index.m3u8\",LAST-MSN={},LAST-PART={}",
            other / PARTS,
            other % PARTS
        )
        .unwrap();
        out
    }

    fn iframes(&self) -> String {
        let open = self.parts(false) / PARTS;
        let first = open - WINDOW;
        let mut out = format!(
            "#EXTM3U\n#EXT-X-VERSION:5\n#EXT-X-TARGETDURATION:2\n\
             #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.53600,CAN-SKIP-UNTIL=12.0\n\
             #EXT-X-MEDIA-SEQUENCE:{first}\n#EXT-X-DISCONTINUITY-SEQUENCE:0\n#EXT-X-I-FRAMES-ONLY\n#EXT-X-MAP:URI=\"init.mp4\"\n"
        );
        for segment in first..open {
            let head = bytes(&video_parts(segment)[0][..2]).len() + 8 + 704;
            writeln!(
                out,
                "#EXT-X-PROGRAM-DATE-TIME:{}\n#EXTINF:2.00000,\n#EXT-X-BYTERANGE:{head}@0\n{segment}.m4s",
                date(false, segment)
            )
            .unwrap();
        }
        if self.ended() {
            out += "#EXT-X-ENDLIST\n";
        }
        out
    }
}

/// First frame of a part of sound.
fn frame(part: u64) -> u64 {
    (part * 24_000 + 512) / 1024
}

/// Seconds of `count` parts from `part` on.
fn duration(sound: bool, part: u64, count: u64) -> f64 {
    if sound { ((frame(part + count) - frame(part)) * 1024) as f64 / 48_000.0 } else { PART * count as f64 }
}

fn date(sound: bool, segment: u64) -> String {
    let micros =
        if sound { frame(segment * PARTS) as i64 * 1024 * 1000 / 48 } else { segment as i64 * 2_000_000 };
    let stamp = jiff::Timestamp::from_microsecond(DATE + micros).unwrap();
    format!("{stamp:.3}")
}

pub(crate) const MULTIVARIANT: &str = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-INDEPENDENT-SEGMENTS\n\
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"aac\",NAME=\"Main\",LANGUAGE=\"und\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\",URI=\"a/index.m3u8\"\n\
#EXT-X-STREAM-INF:BANDWIDTH=110000,AVERAGE-BANDWIDTH=100000,CODECS=\"avc1.64000d,mp4a.40.2\",RESOLUTION=320x180,FRAME-RATE=30.000,AUDIO=\"aac\",CLOSED-CAPTIONS=NONE\nv/index.m3u8\n\
#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=9000,CODECS=\"avc1.64000d\",RESOLUTION=320x180,URI=\"v/iframes.m3u8\"\n";
