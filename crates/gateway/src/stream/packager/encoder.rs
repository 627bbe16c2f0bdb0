//! The encoder's side: what it is told and when, what it makes, and what becomes of it when it dies or falls behind.

use hls::cut::Cut;
use media::{AudioConfig, MediaSpan, MediaTime, Packet, TrackId, VideoConfig};
use transcode::{Input, source::SAME_TIME};

use super::{
    MOST_LAG, Packager,
    kept::Step,
    lane::{ALONE_TRACK, Pictures, Sound, shared},
    routes::{Due, Routes},
};
impl Packager {
    /// The encoder has opened its codecs.
    pub(in crate::stream) fn encoder_ready(
        &mut self,
        video: &[VideoConfig],
        audio: &[(TrackId, AudioConfig)],
    ) {
        for index in 0..self.variants {
            if let Pictures::Rung(rung) = self.lanes[index].pictures
                && let Some(config) = video.get(rung)
            {
                self.coded_picture(index, &shared(config));
            }
        }
        self.coded = video.iter().map(shared).collect();
        for (track, config) in audio {
            self.coded_sound(Sound::Encoder(*track), &shared(config));
        }
    }

    /// Takes one packet that the encoder made.
    pub(in crate::stream) fn encoded_video(&mut self, rung: usize, packet: &Packet) {
        self.routes.picture(rung, packet);
        self.follow_routes();
    }

    /// Encoders were closed or opened: from the cut at `from` on the rungs show what `by` says.
    pub(in crate::stream) fn encoders_changed(
        &mut self,
        from: MediaTime,
        by: &[Option<usize>],
        video: &[VideoConfig],
    ) {
        self.coded = video.iter().map(shared).collect();
        self.routes.change(from, by);
        self.follow_routes();
    }

    /// A closed encoder's last picture has come.
    pub(in crate::stream) fn encoder_drained(&mut self, rung: usize) {
        self.routes.drained(rung);
        self.follow_routes();
    }

    /// The encoded rung whose pictures another one shows, or will once what is under way has come; `None` for nothing.
    pub(in crate::stream) fn shown(&self, rung: usize) -> Option<usize> {
        self.routes.shown(rung)
    }

    /// Up to where the encoded rung that is furthest behind has come; `None` where none runs.
    pub(in crate::stream) fn encoded_until(&self) -> Option<MediaTime> {
        let lanes = self.lanes.iter().filter(|lane| !lane.off);
        let rungs = lanes.filter_map(|lane| match lane.pictures {
            Pictures::Rung(rung) => self.encoded.get(rung).copied(),
            Pictures::None | Pictures::Source(_) | Pictures::Blank => None,
        });
        rungs.min()
    }

    fn follow_routes(&mut self) {
        while let Some((rung, due)) = self.routes.poll() {
            if let (Due::Picture(packet), Some(until)) = (&due, self.encoded.get_mut(rung)) {
                *until = (*until).max(packet.pts);
            }
            for lane in self.lanes.iter_mut().filter(|lane| lane.pictures == Pictures::Rung(rung)) {
                match &due {
                    Due::Picture(packet) => lane.push(packet.clone()),
                    Due::By(None) => lane.off = true,
                    // What the presentation declares stays: the substitute needs no more of a player.
                    Due::By(Some(by)) => {
                        if let Some(config) = self.coded.get(*by) {
                            lane.packing.video_config(config);
                        }
                        if std::mem::take(&mut lane.off) {
                            self.encoded[rung] = self.end;
                        }
                    }
                }
            }
        }
    }

    /// Takes one sound packet that the encoder made.
    pub(in crate::stream) fn encoded_audio(&mut self, packet: &Packet) {
        if self.sound == Sound::Encoder(packet.track) {
            for lane in &mut self.lanes[..self.variants] {
                lane.push(packet.clone());
            }
            if !self.has_alone {
                return;
            }
            self.made.push_back(Packet { track: ALONE_TRACK, ..packet.clone() });
        } else {
            self.made.push_back(packet.clone());
        }
        if packet.pts <= self.lead_time() || self.made.len() > 4096 {
            self.pass_made();
        }
    }

    /// The oldest packet of a further sound goes to its rendition.
    pub(super) fn pass_made(&mut self) {
        let Some(packet) = self.made.pop_front() else { return };
        let sound = Sound::Encoder(packet.track);
        for lane in self.lanes[self.variants..].iter_mut().filter(|lane| lane.sound == sound) {
            lane.push(packet.clone());
        }
    }

    /// The next thing to tell the encoder, if it has not been told everything. Call [`Self::told`] once it was taken.
    pub(in crate::stream) fn next_input(&self) -> Option<Input> {
        // A further track's picture may stand a moment before the leading track's.
        let early =
            if self.feed.is_some_and(|feed| feed != self.lead.1) { SAME_TIME } else { MediaSpan::ZERO };
        if let Some(splice) = self.splices.first() {
            return Some(Input::CutAt(*splice));
        }
        self.kept.next(|step| self.concerns_encoder(step)).map(|step| match step {
            Step::Cut(cut) => Input::CutAt(cut.at - early),
            Step::Packet(packet) => Input::Packet(packet.clone()),
        })
    }

    /// The encoder took what [`Self::next_input`] gave.
    pub(in crate::stream) fn told(&mut self) {
        if self.splices.pop_first().is_some() {
            return;
        }
        let mut kept = std::mem::take(&mut self.kept);
        kept.told(|step| self.concerns_encoder(step));
        self.kept = kept;
    }

    fn concerns_encoder(&self, step: &Step) -> bool {
        match step {
            Step::Cut(_) => true,
            Step::Packet(packet) => self.feeds(packet),
        }
    }

    /// A new encoder starts where the last one's unfinished segments began.
    pub(in crate::stream) fn restart_encoder(&mut self) {
        self.kept.start_over();
        self.made.clear();
        self.splices.clear();
        let from = self.oldest_cut().map_or(self.end, |cut| cut.at);
        self.routes = Routes::new(self.encoded.len());
        self.encoded.fill(from);
        for lane in self.lanes.iter_mut().filter(|lane| lane.depends()) {
            lane.off = false;
            self.splices.extend(lane.packing.rewind());
            // The copied parts come again here, the encoder's parts from the encoder.
            for packet in self.kept.packets() {
                if lane.copies(packet) {
                    lane.push(packet.clone());
                }
            }
        }
    }

    /// The encoder is not given the group of pictures again that begins with this decoding time: the segments that it is
    /// part of become gaps in the renditions that needed it. False when it is not kept any more.
    pub(in crate::stream) fn leave_out(&mut self, group: MediaTime) -> bool {
        self.kept.leave_out(group)
    }

    /// Whether the encoder is too far behind to catch up.
    pub(in crate::stream) fn overrun(&self) -> bool {
        self.lag() > MOST_LAG
    }

    /// From the start of the oldest segment that waits for the encoder to the newest source packet: a segment's length
    /// and half a second, when all is well.
    pub(in crate::stream) fn lag(&self) -> MediaSpan {
        self.oldest_cut().map_or(MediaSpan::ZERO, |cut| (self.end - cut.at).max(MediaSpan::ZERO))
    }

    /// The oldest cut whose segment some dependent rendition has not finished.
    fn oldest_cut(&self) -> Option<Cut> {
        let dependent = self.lanes.iter().filter(|lane| lane.depends() && !lane.lost && !lane.off);
        self.kept.cut_from(dependent.filter_map(|lane| lane.packing.oldest_unfinished()).min()?)
    }

    /// Gives up what the encoder has not made yet, up to the newest point where it can start: those segments become
    /// gaps in the renditions that needed them. Returns how many segments were lost; the encoder must be restarted.
    pub(in crate::stream) fn skip_ahead(&mut self) -> u64 {
        let (Some(newest), Some(oldest)) = (self.kept.newest_cut(self.end), self.oldest_cut()) else {
            return 0;
        };
        self.kept.forget_before(newest.at, self.has_video);
        self.kept.start_over();
        // Those that show nothing without the encoder list their gaps now, not when it comes back.
        for lane in self.lanes.iter_mut().filter(|lane| lane.depends() && lane.own_track().is_none()) {
            lane.packing.rewind();
            lane.packing.give_up(newest.sequence);
        }
        newest.sequence.0.saturating_sub(oldest.sequence.0)
    }

    /// Forgets kept packets that no dependent rendition needs any more.
    pub(super) fn release(&mut self) {
        if let Some(oldest) = self.oldest_cut() {
            self.kept.forget_before(oldest.at, self.has_video);
        }
        self.kept.keep_small();
    }
}
