//! `[limits]`: every bound that the protocol code keeps, as settings. What each counts is told by
//! `rtmp::limits`; `sluice_limit_hits_total` in `/metrics` says which were hit, by these names.

use std::time::Duration;

use super::{
    settings::{Config, Setting, read_count, read_span},
    units::{parse_size, show_size, show_span},
};

macro_rules! count {
    ($field:ident, $least:literal ..= $most:literal, $help:literal) => {
        Setting {
            key: concat!("limits.", stringify!($field)),
            help: $help,
            get: |c| c.limits.$field.to_string(),
            set: |c, v| {
                let count = read_count(v, $least, $most)?;
                c.limits.$field = count.try_into().map_err(|_| format!("{v:?} is too large"))?;
                Ok(())
            },
        }
    };
}

macro_rules! size {
    ($field:ident, $least:literal ..= $most:literal, $help:literal) => {
        Setting {
            key: concat!("limits.", stringify!($field)),
            help: $help,
            get: |c| show_size(c.limits.$field as u64),
            set: |c, v| {
                let size = read_size(v, $least, $most)?;
                c.limits.$field = size.try_into().map_err(|_| format!("{v:?} is too large"))?;
                Ok(())
            },
        }
    };
}

macro_rules! span {
    ($field:ident, $most:literal, $help:literal) => {
        Setting {
            key: concat!("limits.", stringify!($field)),
            help: $help,
            get: |c| show_span(c.timeouts.$field),
            set: |c, v| read_time(v, $most).map(|v| c.timeouts.$field = v),
        }
    };
}

/// The section, in the order of the example file.
pub(super) const SETTINGS: &[Setting] = &[
    count!(chunk_streams, 4..=65_599, "Chunk streams of one connection. Encoders use a handful."),
    count!(partial_messages, 2..=1_000, "Messages in the making at once."),
    size!(partial_bytes, 65_536..=1_073_741_824, "Bytes of all messages in the making together."),
    size!(command_early, 1_024..=16_777_215, "Longest command before publish was accepted."),
    size!(command_late, 1_024..=16_777_215, "Longest command afterwards."),
    size!(data, 1_024..=16_777_215, "Longest data message (onMetaData, captions); a longer one is skipped."),
    size!(audio, 4_096..=16_777_215, "Longest audio message."),
    size!(
        video,
        65_536..=16_777_215,
        "Longest video message. A keyframe of a 60 Mbit/s 4K stream may pass 1 MiB."
    ),
    size!(aggregate, 65_536..=16_777_215, "Longest aggregate message."),
    count!(
        small_chunks_per_second,
        100..=10_000_000,
        "Tiny chunks a second: they cost more than they carry."
    ),
    count!(abandoned_per_minute, 1..=10_000, "Messages begun anew before they were complete, a minute."),
    count!(commands_per_second, 5..=100_000, "Commands a second."),
    count!(commands, 20..=100_000_000, "Commands over the life of a connection."),
    count!(pings_per_second, 1..=10_000, "Pings answered a second; more stay unanswered."),
    size!(
        outbound,
        4_096..=67_108_864,
        "Unsent bytes from which on acknowledgements and pings are left out."
    ),
    size!(held, 4_096..=67_108_864, "Bytes kept of a publisher while it is decided about."),
    span!(first_byte, 600, "From accept to the first byte."),
    span!(handshake, 600, "From accept to the end of the handshake."),
    span!(connect, 600, "From the handshake to connect."),
    span!(publish, 600, "From connect to publish, and between two publications of one connection."),
    span!(unauthenticated, 600, "From accept to the first publish, whatever came between."),
    span!(verdict, 600, "For deciding about a publisher, the webhook included."),
    span!(
        first_media,
        600,
        "From publish to the first picture or sound. rtmp.media_timeout counts from there."
    ),
    span!(ping, 3_600, "Between two pings of ours."),
    Setting {
        key: "limits.stall",
        help: "How long a stream may take nothing from its publisher before that is closed.",
        get: |c| show_span(c.stall),
        set: |c, v| read_span(v, 1, 600).map(|v| c.stall = v),
    },
    span!(linger, 60, "From a refusal to closing, so that the encoder reads the reason."),
];

/// Faults that only two of them together show.
pub(super) fn cross_check(config: &Config, mut fault: impl FnMut(&str, String)) {
    if config.timeouts.verdict <= config.webhooks.budget {
        let (verdict, budget) = (show_span(config.timeouts.verdict), show_span(config.webhooks.budget));
        fault("limits.verdict", format!("{verdict} is not longer than webhook.timeout, {budget}"));
    }
    if config.limits.partial_bytes < config.limits.video as usize {
        let (all, one) =
            (show_size(config.limits.partial_bytes as u64), show_size(u64::from(config.limits.video)));
        fault("limits.partial_bytes", format!("{all} is less than limits.video, {one}"));
    }
}

fn read_size(text: &str, least: u64, most: u64) -> Result<u64, String> {
    let size = parse_size(text)?;
    if (least..=most).contains(&size) {
        Ok(size)
    } else {
        Err(format!("{text:?} is outside {} to {}", show_size(least), show_size(most)))
    }
}

/// 100 ms at least: below that no network is fast enough.
fn read_time(text: &str, most_s: u64) -> Result<Duration, String> {
    let span = read_span(text, 0, most_s)?;
    if span < Duration::from_millis(100) { Err(format!("{text:?} is shorter than 100ms")) } else { Ok(span) }
}

#[cfg(test)]
mod tests {
    use super::super::load;

    #[test]
    fn limits_are_read_within_their_ranges() {
        let set = |key: &'static str, value: &str| {
            load(None, std::iter::empty(), &[(key, value.to_owned())]).map_err(|faults| faults.to_string())
        };
        assert_eq!(set("limits.video", "12MiB").unwrap().limits.video, 12 << 20);
        assert_eq!(set("limits.linger", "250ms").unwrap().timeouts.linger.as_millis(), 250);
        assert_eq!(set("limits.commands", "5000").unwrap().limits.commands, 5000);
        for (key, value) in [
            ("limits.video", "1KiB"),
            ("limits.video", "17MiB"),
            ("limits.first_byte", "1ms"),
            ("limits.chunk_streams", "0"),
            ("limits.verdict", "5s"),
            ("limits.partial_bytes", "1MiB"),
        ] {
            assert!(set(key, value).is_err(), "{key} {value}");
        }
    }

    #[test]
    fn each_limit_that_can_be_hit_is_a_setting() {
        use rtmp::limits::Limit as L;
        // Those of the format itself are constants, and one name stands for two settings.
        let fixed = [L::Control, L::UnknownTypes];
        for limit in [
            L::ChunkStreams,
            L::PartialMessages,
            L::PartialBytes,
            L::Data,
            L::Audio,
            L::Video,
            L::Aggregate,
            L::SmallChunks,
            L::Abandoned,
            L::CommandsPerSecond,
            L::Commands,
            L::Pings,
            L::Outbound,
            L::Held,
            L::FirstByte,
            L::Handshake,
            L::Connect,
            L::Publish,
            L::Verdict,
            L::FirstMedia,
        ] {
            assert!(!fixed.contains(&limit));
            let key = format!("limits.{}", limit.as_str());
            assert!(super::SETTINGS.iter().any(|setting| setting.key == key), "{key}");
        }
    }
}
