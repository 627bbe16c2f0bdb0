//! Oddities of a peer that are tolerated, each told once per connection.

/// What a peer did that the texts do not foresee.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Quirk {
    /// More chunk streams than any known encoder uses.
    ManyChunkStreams,
    /// Continuation chunks lack the extended timestamp (librtmp of 2012, OBS before 30.1).
    ExtendedTimestampOmitted,
    /// An extended delta held an absolute time.
    AbsoluteDelta,
    /// A message was begun anew before it was complete.
    AbandonedMessage,
    /// Set Chunk Size of 0, or beyond any message.
    ChunkSizeOutOfRange,
    /// A message type that RTMP does not have.
    UnknownMessageKind,
    /// A data message beyond its limit was skipped.
    LongData,
    /// An AMF body ended early or was malformed.
    BadAmf,
    /// `publish` came before `createStream`.
    PublishWithoutCreateStream,
    /// `connect` came twice.
    ConnectTwice,
    /// `publish` came twice for one name.
    PublishTwice,
    /// Media on another message stream than the one that publishes.
    WrongMessageStream,
    /// The peer does not read what we send; acks and pings are left out.
    NotReading,
    /// More pings than are answered.
    PingFlood,
    /// A video configuration that cannot be used.
    BadVideoConfig,
    /// Pictures before any configuration.
    VideoBeforeConfig,
    /// Many pictures and no keyframe.
    NoKeyframe,
    /// Faults inside access units, repaired.
    NalFaults,
    /// The picture's configuration changed.
    VideoConfigChanged,
    /// An audio configuration that cannot be used.
    BadAudioConfig,
    /// Sound before any configuration.
    AudioBeforeConfig,
    /// A packet of sound that is empty, or not in the coding that its tag says.
    BadAudioFrame,
    /// AAC in ADTS frames.
    Adts,
    /// No AudioSpecificConfig came; one was assumed.
    AssumedAudioConfig,
    /// The sound's configuration changed.
    AudioConfigChanged,
    /// A further track that is not taken; it is left out.
    ExtraTrack,
    /// Timestamps jumped.
    TimestampJump,
}

impl Quirk {
    fn sentence(self) -> &'static str {
        match self {
            Self::ManyChunkStreams => "uses unusually many chunk streams",
            Self::ExtendedTimestampOmitted => "leaves the extended timestamp out of continuation chunks",
            Self::AbsoluteDelta => "writes absolute times into extended timestamp deltas",
            Self::AbandonedMessage => "began a message anew before it was complete",
            Self::ChunkSizeOutOfRange => "announced a chunk size out of range",
            Self::UnknownMessageKind => "sent a message of unknown type",
            Self::LongData => "sent a data message beyond the limit; skipped",
            Self::BadAmf => "sent malformed AMF",
            Self::PublishWithoutCreateStream => "published without createStream",
            Self::ConnectTwice => "sent connect twice",
            Self::PublishTwice => "sent publish twice",
            Self::WrongMessageStream => "sends media on another message stream than it publishes",
            Self::NotReading => "does not read our replies; acknowledgements are left out",
            Self::PingFlood => "sends more pings than are answered",
            Self::BadVideoConfig => "sent a video configuration that cannot be used",
            Self::VideoBeforeConfig => "sent pictures before their configuration; dropped",
            Self::NoKeyframe => "sends no keyframe; its pictures are dropped until one comes",
            Self::NalFaults => "sends malformed access units; repaired",
            Self::VideoConfigChanged => "changed its video configuration",
            Self::BadAudioConfig => "sent an audio configuration that cannot be used",
            Self::AudioBeforeConfig => "sent sound before its configuration; dropped",
            Self::BadAudioFrame => "sends sound that cannot be read; dropped",
            Self::Adts => "sends AAC in ADTS frames",
            Self::AssumedAudioConfig => "never sent an AudioSpecificConfig; AAC-LC is assumed",
            Self::AudioConfigChanged => "changed its audio configuration",
            Self::ExtraTrack => "sends a track that is left out",
            Self::TimestampJump => "timestamps jumped; the timeline was rebased",
        }
    }
}

/// Which quirks this connection has shown, and the sentences not yet told.
#[derive(Debug, Default)]
pub struct Quirks {
    /// How often each was noted, by its number; none that never was.
    counts: Vec<(Quirk, u64)>,
    fresh: Vec<String>,
}

impl Quirks {
    /// Notes `quirk`; only its first time makes a sentence.
    pub fn note(&mut self, quirk: Quirk) {
        self.note_with(quirk, String::new);
    }

    /// Notes `quirk` with what in particular was met.
    pub fn note_with(&mut self, quirk: Quirk, detail: impl FnOnce() -> String) {
        if let Some((_, count)) = self.counts.iter_mut().find(|(known, _)| *known == quirk) {
            *count += 1;
            return;
        }
        self.counts.push((quirk, 1));
        let detail = detail();
        let sentence = quirk.sentence();
        self.fresh.push(if detail.is_empty() {
            sentence.to_owned()
        } else {
            format!("{sentence}: {detail}")
        });
    }

    /// How often `quirk` was noted.
    pub fn count(&self, quirk: Quirk) -> u64 {
        self.counts.iter().find(|(known, _)| *known == quirk).map_or(0, |(_, count)| *count)
    }

    /// Sentences since the last call; at most one per quirk over the life of the connection.
    pub fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.fresh)
    }

    /// Whether sentences wait.
    pub fn any(&self) -> bool {
        !self.fresh.is_empty()
    }
}
