//! Which segments are new, which wait for the store, and which find no room. Pure.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use hls::{
    Segment,
    presentation::{Family, Role},
    snapshot::{RenditionView, Snapshot},
};

use crate::{
    index::{Container, Rendition, Sound},
    recording::Recording,
};

/// Numbers whose discontinuities are remembered: more than any rendition lags behind another.
const MARKS: usize = 4096;

/// A segment that waits.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) rendition: u16,
    pub(crate) segment: Arc<Segment>,
    /// Discontinuities so far, its own counted.
    pub(crate) discontinuities: u64,
}

/// What was lost.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Lost {
    pub(crate) segments: u64,
    pub(crate) bytes: u64,
}

/// The segments on their way into a recording.
#[derive(Debug)]
pub(crate) struct Intake {
    limit: u64,
    renditions: Vec<Rendition>,
    /// The highest number taken of each rendition.
    taken: Vec<Option<u64>>,
    /// Discontinuities up to and with a number, which are the same in all renditions.
    marks: BTreeMap<u64, u64>,
    before: u64,
    waiting: VecDeque<Item>,
    waiting_bytes: u64,
    /// Bytes that were handed out and are not written yet.
    handed: u64,
    lost: Lost,
}

impl Intake {
    /// Nothing yet; at most `limit` bytes will wait or be on their way.
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            limit,
            renditions: Vec::new(),
            taken: Vec::new(),
            marks: BTreeMap::new(),
            before: 0,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            handed: 0,
            lost: Lost::default(),
        }
    }

    /// Takes what is new in a snapshot.
    pub(crate) fn take(&mut self, snapshot: &Snapshot) {
        let views = snapshot.renditions();
        // Both packagings hold the same pictures: the one that also makes a file to download is kept.
        let fragmented = views.iter().any(is_fragmented);
        for view in views.iter().filter(|view| is_fragmented(view) == fragmented) {
            self.describe(view, fragmented);
        }
        let mut new: Vec<(u16, &Arc<Segment>)> = Vec::new();
        for (nth, rendition) in self.renditions.iter().enumerate() {
            let Some(view) = snapshot.rendition(&rendition.id) else { continue };
            let taken = self.taken[nth];
            let unseen = view.listed().iter().filter(|one| taken.is_none_or(|last| one.sequence.0 > last));
            new.extend(unseen.map(|segment| (nth as u16, segment)));
        }
        // All renditions at one number before the next, so that a number is marked once, by whoever has it.
        new.sort_by_key(|(rendition, segment)| (segment.sequence, *rendition));
        for (rendition, segment) in new {
            let sequence = segment.sequence.0;
            let discontinuities = self.mark(sequence, segment.discontinuity);
            if let Some(last) = self.taken[usize::from(rendition)].replace(sequence) {
                // What left the list before it was seen.
                self.lost.segments += sequence - last - 1;
            }
            self.offer(Item { rendition, segment: segment.clone(), discontinuities });
        }
    }

    /// A gap has nothing to keep: that nothing is there says it all.
    fn offer(&mut self, item: Item) {
        let size = item.segment.size();
        if item.segment.gap || size == 0 {
            return;
        }
        if self.waiting_bytes + self.handed + size > self.limit {
            self.lost.segments += 1;
            self.lost.bytes += size;
            return;
        }
        self.waiting_bytes += size;
        self.waiting.push_back(item);
    }

    fn mark(&mut self, sequence: u64, discontinuity: bool) -> u64 {
        if let Some(known) = self.marks.get(&sequence) {
            return *known;
        }
        let before = self.marks.range(..sequence).next_back().map_or(self.before, |(_, count)| *count);
        let count = before + u64::from(discontinuity);
        self.marks.insert(sequence, count);
        while self.marks.len() > MARKS {
            if let Some((_, count)) = self.marks.pop_first() {
                self.before = count;
            }
        }
        count
    }

    fn describe(&mut self, view: &RenditionView, fragmented: bool) {
        let size = view.video().map(|video| (video.width, video.height));
        let frame_rate = view.video().and_then(|video| video.frame_rate).map(|rate| (rate.num(), rate.den()));
        let told = Rendition {
            id: view.id().to_owned(),
            container: if fragmented { Container::Fmp4 } else { Container::Ts },
            size,
            frame_rate,
            codecs: view.codecs().to_owned(),
            sound: sound_of(view),
        };
        if let Some(known) = self.renditions.iter_mut().find(|known| known.id == told.id) {
            if known.codecs.is_empty() || !told.codecs.is_empty() {
                *known = told;
            }
        } else if self.renditions.len() < usize::from(u16::MAX) {
            self.renditions.push(told);
            self.taken.push(None);
        }
    }

    /// Continues a recording: what it has is not taken twice, and its counts go on.
    pub(crate) fn resume(&mut self, recording: &Recording) {
        let mut known = recording.header.renditions.clone();
        let mut newest = vec![None; known.len()];
        let mut base = 0;
        for entry in recording.all() {
            let slot = &mut newest[usize::from(entry.rendition)];
            *slot = (*slot).max(Some(entry.sequence));
            base = base.max(entry.discontinuities);
        }
        let own = std::mem::take(&mut self.renditions);
        let seen = std::mem::take(&mut self.taken);
        let mut moved = Vec::with_capacity(own.len());
        for (rendition, seen) in own.into_iter().zip(seen) {
            let at = known.iter().position(|one| one.id == rendition.id).unwrap_or(known.len());
            if at == known.len() {
                known.push(rendition);
                newest.push(None);
            }
            newest[at] = newest[at].max(seen);
            moved.push(at as u16);
        }
        let recorded: Vec<Option<u64>> = (0..known.len())
            .map(|at| {
                recording.all().filter(|one| usize::from(one.rendition) == at).map(|one| one.sequence).max()
            })
            .collect();
        for item in std::mem::take(&mut self.waiting) {
            let rendition = moved[usize::from(item.rendition)];
            let size = item.segment.size();
            if recorded[usize::from(rendition)].is_some_and(|last| item.segment.sequence.0 <= last) {
                self.waiting_bytes -= size;
                continue;
            }
            self.waiting.push_back(Item { rendition, discontinuities: item.discontinuities + base, ..item });
        }
        self.marks.values_mut().for_each(|count| *count += base);
        self.before += base;
        (self.renditions, self.taken) = (known, newest);
    }

    /// The oldest that wait, at most `most` bytes but at least one.
    pub(crate) fn hand_out(&mut self, most: u64) -> Vec<Item> {
        let (mut items, mut bytes) = (Vec::new(), 0);
        while let Some(item) = self.waiting.front() {
            let size = item.segment.size();
            if !items.is_empty() && bytes + size > most {
                break;
            }
            bytes += size;
            items.extend(self.waiting.pop_front());
        }
        self.waiting_bytes -= bytes;
        self.handed += bytes;
        items
    }

    /// What was handed out is written, or given up.
    pub(crate) fn settle(&mut self, items: &[Item], written: bool) {
        let bytes: u64 = items.iter().map(|item| item.segment.size()).sum();
        self.handed -= bytes.min(self.handed);
        if !written {
            self.lost.segments += items.len() as u64;
            self.lost.bytes += bytes;
        }
    }

    /// What still waits is given up.
    pub(crate) fn give_up(&mut self) {
        let rest = self.hand_out(u64::MAX);
        self.settle(&rest, false);
    }

    pub(crate) fn renditions(&self) -> &[Rendition] {
        &self.renditions
    }

    pub(crate) fn lost(&self) -> Lost {
        self.lost
    }

    /// Bytes that wait for being handed out.
    pub(crate) fn waiting_bytes(&self) -> u64 {
        self.waiting_bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Wall clock at the oldest that waits, in microseconds since 1970.
    pub(crate) fn oldest_unix_micros(&self) -> Option<i64> {
        self.waiting.front().map(|item| item.segment.unix_micros)
    }
}

fn is_fragmented(view: &RenditionView) -> bool {
    view.family() == Family::Cmaf
}

/// Beside pictures an alternate is a sound to choose, and so is every sound of fragmented MP4; a transport stream of sound
/// alone is a variant of its own.
fn sound_of(view: &RenditionView) -> Option<Sound> {
    if view.video().is_some() {
        return None;
    }
    let choice = match view.role() {
        Role::Alternate(choice) => Some(choice),
        Role::Variant(choice) if is_fragmented(view) => choice.as_ref(),
        Role::Variant(_) => return None,
    };
    Some(Sound {
        name: choice.map_or_else(|| "Main".to_owned(), |choice| choice.name.clone()),
        language: choice.and_then(|choice| choice.language.clone()),
        channels: choice.map_or(0, |choice| choice.channels),
    })
}
