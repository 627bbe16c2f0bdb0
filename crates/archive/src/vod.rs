//! A recording as HLS: a list for each rendition, and the one above them.
//!
//! All lists of a recording have the same entries at the same numbers: what one rendition has and another has not is
//! EXT-X-GAP in the other, and what none has is EXT-X-GAP in all, as long as the clock says. Complete recordings are VOD
//! lists; those that go on are EVENT lists, which only ever grow.

use std::{
    collections::BTreeMap,
    fmt::{self, Display, Write},
};

use hls::{
    bandwidth::Meter,
    playlist::{Multivariant, Sound, Variant},
    presentation::Family,
    snapshot::Document,
};
use media::{FrameRate, MediaSpan, TICKS_PER_SECOND};

use crate::{
    index::{Container, Entry, Rendition},
    recording::{Recording, micros},
};

/// A hole that is longer is not filled with gaps: nobody waits for its end, and a list has an end too.
const LONGEST_HOLE: i64 = 24 * 3600 * TICKS_PER_SECOND;

/// All lists of a recording at one moment.
#[derive(Debug)]
pub struct Lists {
    /// `None` when no rendition can be told of.
    pub multivariant: Option<Document>,
    /// By the number of their rendition.
    pub media: Vec<Document>,
}

/// A stretch of content, the same for all renditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    /// `None` for what no rendition has.
    sequence: Option<u64>,
    duration: i64,
    discontinuity: bool,
    unix_micros: i64,
}

impl Lists {
    /// Renders them.
    pub fn render(recording: &Recording) -> Self {
        let target = recording.header.target_duration.max(1);
        let slots = slots(recording, target);
        let renditions = &recording.header.renditions;
        let mut by_rendition: Vec<BTreeMap<u64, &Entry>> = vec![BTreeMap::new(); renditions.len()];
        for entry in recording.all() {
            by_rendition[usize::from(entry.rendition)].insert(entry.sequence, entry);
        }
        let media = renditions.iter().zip(&by_rendition).map(|(rendition, entries)| {
            let list = Media { recording, rendition, entries, slots: &slots, target };
            Document::new(list.render())
        });
        let media = media.collect();
        let rates: Vec<(u64, u64)> =
            by_rendition.iter().map(|entries| rates(entries, &slots, target)).collect();
        let multivariant =
            multivariant(recording, &by_rendition, &rates).map(|list| Document::new(list.render()));
        Self { multivariant, media }
    }
}

/// What every list says when.
fn slots(recording: &Recording, target: u32) -> Vec<Slot> {
    let mut known: BTreeMap<u64, &Entry> = BTreeMap::new();
    for entry in recording.all() {
        // The first rendition's times, which are the pictures' where there are some.
        let slot = known.entry(entry.sequence).or_insert(entry);
        if entry.rendition < slot.rendition {
            *slot = entry;
        }
    }
    let longest = i64::from(target) * TICKS_PER_SECOND;
    let mut slots: Vec<Slot> = Vec::with_capacity(known.len());
    let mut before: Option<&Entry> = None;
    for (sequence, entry) in known {
        let mut discontinuity = false;
        if let Some(before) = before {
            discontinuity = entry.discontinuities != before.discontinuities;
            let end = before.start.saturating_add(before.duration);
            let hole = entry.start.saturating_sub(end);
            if sequence != before.sequence + 1 && (1..LONGEST_HOLE).contains(&hole) {
                // The jump is where the hole begins: that is where it is in the live lists.
                let count = (hole + longest - 1) / longest;
                let from = before.unix_micros.saturating_add(micros(before.duration));
                for nth in 0..count {
                    let (begin, end) = (hole * nth / count, hole * (nth + 1) / count);
                    slots.push(Slot {
                        sequence: None,
                        duration: end - begin,
                        discontinuity: std::mem::take(&mut discontinuity),
                        unix_micros: from.saturating_add(micros(begin)),
                    });
                }
            } else if sequence != before.sequence + 1 {
                discontinuity = true;
            }
        }
        slots.push(Slot {
            sequence: Some(sequence),
            duration: entry.duration,
            discontinuity,
            unix_micros: entry.unix_micros,
        });
        before = Some(entry);
    }
    slots
}

struct Media<'a> {
    recording: &'a Recording,
    rendition: &'a Rendition,
    entries: &'a BTreeMap<u64, &'a Entry>,
    slots: &'a [Slot],
    target: u32,
}

impl Media<'_> {
    fn render(&self) -> String {
        let fragmented = self.rendition.container == Container::Fmp4;
        let (version, extension) = if fragmented { (6, "m4s") } else { (3, "ts") };
        let complete = self.recording.is_complete();
        let mut out = String::with_capacity(192 + self.slots.len() * 96);
        let mut put = |line: fmt::Arguments<'_>| {
            out.write_fmt(line).and_then(|()| out.write_char('\n')).expect("a String takes every write");
        };
        put(format_args!("#EXTM3U"));
        put(format_args!("#EXT-X-VERSION:{version}"));
        put(format_args!("#EXT-X-TARGETDURATION:{}", self.longest()));
        put(format_args!("#EXT-X-PLAYLIST-TYPE:{}", if complete { "VOD" } else { "EVENT" }));
        put(format_args!("#EXT-X-MEDIA-SEQUENCE:0"));
        put(format_args!("#EXT-X-DISCONTINUITY-SEQUENCE:0"));
        let mut init = None;
        for (nth, slot) in self.slots.iter().enumerate() {
            let entry = slot.sequence.and_then(|sequence| self.entries.get(&sequence));
            if slot.discontinuity {
                put(format_args!("#EXT-X-DISCONTINUITY"));
            }
            if let Some(needed) = entry.and_then(|entry| entry.init)
                && init != Some(needed)
                && let Some(known) = self.recording.inits.get(needed as usize)
            {
                init = Some(needed);
                put(format_args!("#EXT-X-MAP:URI=\"{}\"", known.name));
            }
            let unix_micros = entry.map_or(slot.unix_micros, |entry| entry.unix_micros);
            put(format_args!("#EXT-X-PROGRAM-DATE-TIME:{}", DateTime(unix_micros)));
            if entry.is_none() {
                put(format_args!("#EXT-X-GAP"));
            }
            let duration = entry.map_or(slot.duration, |entry| entry.duration);
            put(format_args!("#EXTINF:{},", Seconds(duration)));
            match entry {
                Some(entry) => put(format_args!("{}.{extension}", entry.sequence)),
                None => put(format_args!("gap-{nth}.{extension}")),
            }
        }
        if complete {
            put(format_args!("#EXT-X-ENDLIST"));
        }
        out
    }

    /// EXT-X-TARGETDURATION: that of the live lists, unless the source broke its own rhythm. Lists that grow keep it.
    fn longest(&self) -> u32 {
        let longest = self.slots.iter().map(|slot| slot.duration).max().unwrap_or(0);
        let rounded = (longest + TICKS_PER_SECOND / 2) / TICKS_PER_SECOND;
        if self.recording.is_complete() {
            self.target.max(u32::try_from(rounded).unwrap_or(0))
        } else {
            self.target
        }
    }
}

/// Peak and average of a rendition (RFC 8216 §4.1), in bits a second.
fn rates(entries: &BTreeMap<u64, &Entry>, slots: &[Slot], target: u32) -> (u64, u64) {
    let mut meter = Meter::new(target);
    for slot in slots {
        match slot.sequence.and_then(|sequence| entries.get(&sequence)) {
            Some(entry) => meter.add(entry.at.length, MediaSpan::from_ticks(entry.duration)),
            None => meter.hole(),
        }
    }
    // A recording of less than half a target duration has no run: its average is its peak.
    let average = meter.average_bps();
    (meter.peak_bps().max(average), average)
}

fn multivariant(
    recording: &Recording,
    by_rendition: &[BTreeMap<u64, &Entry>],
    rates: &[(u64, u64)],
) -> Option<Multivariant> {
    let all = || {
        let with = recording.header.renditions.iter().zip(by_rendition).zip(rates);
        with.filter(|((rendition, entries), _)| !entries.is_empty() && !rendition.codecs.is_empty())
            .map(|((rendition, _), rates)| (rendition, *rates))
    };
    let pictures = all().any(|(rendition, _)| rendition.size.is_some());
    // Sound alone beside pictures is chosen with them; without any it is what there is to play.
    let beside = |rendition: &Rendition| rendition.sound.is_some() && pictures;
    let told: Vec<_> = all().filter(|(rendition, _)| beside(rendition)).collect();
    let peak = told.iter().map(|(_, rates)| rates.0).max().unwrap_or(0);
    let average = told.iter().map(|(_, rates)| rates.1).max().unwrap_or(0);
    let variants: Vec<Variant> = all()
        .filter(|(rendition, _)| !beside(rendition))
        .map(|(rendition, rates)| {
            let mut codecs = rendition.codecs.clone();
            for (sound, _) in &told {
                if !codecs.split(',').any(|known| known == sound.codecs) {
                    codecs = format!("{codecs},{}", sound.codecs);
                }
            }
            Variant {
                id: rendition.id.clone(),
                bandwidth: rates.0 + peak,
                average_bandwidth: rates.1 + average,
                codecs,
                resolution: rendition.size,
                frame_rate: rendition.frame_rate.and_then(|(num, den)| FrameRate::new(num, den)),
                playable: true,
                keyframes: None,
            }
        })
        .collect();
    let sounds = told.iter().filter_map(|(rendition, _)| {
        let sound = rendition.sound.as_ref()?;
        Some(Sound {
            id: Some(rendition.id.clone()),
            name: sound.name.clone(),
            language: sound.language.clone(),
            channels: sound.channels,
        })
    });
    let sounds = sounds.collect();
    (!variants.is_empty()).then(|| Multivariant {
        session: recording.header.session,
        family: match recording.header.renditions.first().map(|rendition| rendition.container) {
            Some(Container::Fmp4) => Family::Cmaf,
            Some(Container::Ts) | None => Family::Ts,
        },
        variants,
        sounds,
        captions: Vec::new(),
    })
}

/// Seconds with five decimals, rounded from ticks in integers.
struct Seconds(i64);

impl Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let second = i128::from(TICKS_PER_SECOND);
        let rounded = (i128::from(self.0.max(0)) * 100_000 * 2 + second) / (2 * second);
        write!(f, "{}.{:05}", rounded / 100_000, rounded % 100_000)
    }
}

/// Microseconds since 1970 as ISO 8601 in UTC with milliseconds, rounded down.
struct DateTime(i64);

impl Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.0.div_euclid(1000) * 1000;
        write!(f, "{:.3}", jiff::Timestamp::from_microsecond(whole).unwrap_or_default())
    }
}
