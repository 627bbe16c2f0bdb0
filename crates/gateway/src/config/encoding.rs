//! `[ladder]` and `[pictures]`: what is made of a stream's pictures and sound, and at what cost.

use transcode::{
    Sandbox,
    ladder::{BadEncoder, BadPreset, EncoderName},
};

use super::{
    Setting,
    settings::{read_choice, read_count, read_flag, read_span},
    units::{parse_rate, parse_size, parse_span, show_rate, show_size, show_span},
};
use crate::governor::Admission;

pub(super) const SETTINGS: &[Setting] = &[
    Setting {
        key: "ladder.mode",
        help: "\"auto\": copy what plays everywhere, encode the rest and the smaller rungs. \"off\": never encode.",
        get: |c| if c.ladder { "auto".to_owned() } else { "off".to_owned() },
        set: |c, v| read_choice(v, &[("auto", true), ("off", false)]).map(|v| c.ladder = v),
    },
    Setting {
        key: "ladder.rungs",
        help: "The rungs as height:bit rate, such as [\"720:3000k\", \"480:1400k\"], and no others.\n\
               Empty: the source's own size and what fits below it.",
        get: |c| {
            c.rungs
                .iter()
                .map(|(height, rate)| format!("{height}:{}k", rate / 1000))
                .collect::<Vec<_>>()
                .join(",")
        },
        set: |c, v| read_rungs(v).map(|v| c.rungs = v),
    },
    Setting {
        key: "ladder.preset",
        help: "How hard encoders work. \"auto\": the pictures of x264's veryfast for less CPU; \"economy\": the least CPU at which\n\
               pictures still look right; \"quality\": better pictures for more CPU. Or one of x264's own presets\n\
               for all rungs: ultrafast, superfast, veryfast, faster, fast, medium.",
        get: |c| c.preset.to_string(),
        set: |c, v| v.trim().parse().map(|v| c.preset = v).map_err(|bad: BadPreset| bad.to_string()),
    },
    Setting {
        key: "ladder.encoder",
        help: "What encodes the picture: libx264, or an accelerator: h264_nvenc, h264_vaapi, h264_qsv, h264_videotoolbox.\n\
               \"auto\" is libx264, whose pictures are better for the same bits. An accelerator that does not work, or is\n\
               lost in the middle, is replaced by libx264. `sluice doctor` tries them all.",
        get: |c| c.encoder.map_or_else(|| "auto".to_owned(), |name| name.to_string()),
        set: |c, v| read_encoder(v).map(|v| c.encoder = v),
    },
    Setting {
        key: "ladder.audio_bitrate",
        help: "Bit rate of sound that is encoded, 32k to 320k. Sound that players take is copied.",
        get: |c| show_rate(c.audio_bitrate),
        set: |c, v| match parse_rate(v)? {
            rate @ 32_000..=320_000 => {
                c.audio_bitrate = rate;
                Ok(())
            }
            _ => Err(format!("{v:?} is not between 32k and 320k")),
        },
    },
    Setting {
        key: "ladder.fill_sound",
        help: "Pictures that come without sound get silence, since some players wait for a track of sound. Sound that comes\n\
               later takes its place.",
        get: |c| c.fill_sound.to_string(),
        set: |c, v| read_flag(v).map(|v| c.fill_sound = v),
    },
    Setting {
        key: "ladder.fill_picture",
        help: "Sound that comes without pictures gets a plain dark one, for players that want a picture. Without this it is\n\
               sound alone. Pictures that stop while sound goes on are filled in either way.",
        get: |c| c.fill_picture.to_string(),
        set: |c, v| read_flag(v).map(|v| c.fill_picture = v),
    },
    Setting {
        key: "ladder.audio_only",
        help: "One variant more has the sound alone, for viewers whose link is too slow for any picture.",
        get: |c| c.audio_only.to_string(),
        set: |c, v| read_flag(v).map(|v| c.audio_only = v),
    },
    Setting {
        key: "ladder.worker_memory",
        help: "Most memory that one stream's encoder process may take.",
        get: |c| show_size(c.worker_memory),
        set: |c, v| {
            let size = parse_size(v)?;
            if size < 256 << 20 {
                Err("at least 256MiB is needed".to_owned())
            } else {
                c.worker_memory = size;
                Ok(())
            }
        },
    },
    Setting {
        key: "ladder.sandbox",
        help: "\"auto\": encoder processes get no files, no network and no programs, by landlock and seccomp as far as\n\
               the kernel has them; `sluice doctor` tells. \"off\": only where those two stand in the way of debugging.",
        get: |c| if c.sandbox == Sandbox::Off { "off".to_owned() } else { "auto".to_owned() },
        set: |c, v| read_choice(v, &[("auto", Sandbox::Auto), ("off", Sandbox::Off)]).map(|v| c.sandbox = v),
    },
    Setting {
        key: "ladder.latency_ceiling",
        help: "How much later than usual the encoded rungs may come when the machine is too slow for them. Rungs are given up,\n\
               largest first, from a quarter of this; past it segments are skipped. The copied rung is never late.",
        get: |c| show_span(c.latency_ceiling),
        set: |c, v| read_span(v, 2, 60).map(|v| c.latency_ceiling = v),
    },
    Setting {
        key: "ladder.cpu_budget",
        help: "How much of the CPU, in per cent, new streams and returning rungs may fill.",
        get: |c| format!("{}%", c.cpu_budget),
        set: |c, v| read_count(v.trim().trim_end_matches('%'), 10, 100).map(|v| c.cpu_budget = v),
    },
    Setting {
        key: "ladder.admission",
        help: "A new stream whose ladder does not fit into the budget: \"measured\": it begins with the rungs that fit, and the\n\
               others follow when there is room. \"always\": it begins with all of them. \"refuse\": as \"measured\", but one\n\
               that cannot be copied and could not have even its smallest rung is refused.",
        get: |c| {
            match c.admission {
                Admission::Measured => "measured",
                Admission::Always => "always",
                Admission::Refuse => "refuse",
            }
            .to_owned()
        },
        set: |c, v| {
            let choices = [
                ("measured", Admission::Measured),
                ("always", Admission::Always),
                ("refuse", Admission::Refuse),
            ];
            read_choice(v, &choices).map(|v| c.admission = v)
        },
    },
    Setting {
        key: "pictures.interval",
        help: "From one thumbnail to the next, each a picture of the storyboard, too; \"0s\" for none of them.\n\
               Where keyframes are copied and further apart, it is as long as they are.",
        get: |c| show_span(c.pictures),
        set: |c, v| match parse_span(v)? {
            span if span.is_zero() || (1..=3600).contains(&span.as_secs()) => {
                c.pictures = span;
                Ok(())
            }
            _ => Err("between 1s and 1h, or 0s".to_owned()),
        },
    },
];

fn read_encoder(text: &str) -> Result<Option<EncoderName>, String> {
    let name: EncoderName = text.trim().parse().map_err(|bad: BadEncoder| bad.to_string())?;
    if name.coding() != media::VideoCoding::H264 {
        return Err(format!(
            "{name} makes what MPEG-TS segments cannot carry to players; it waits for delivery as fragmented MP4 (CMAF)"
        ));
    }
    Ok((text.trim() != "auto").then_some(name))
}

fn read_rungs(text: &str) -> Result<Vec<(u32, u64)>, String> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let mut rungs = parts
        .map(|part| {
            let bad = || format!("{part:?} is not a rung: write it as height:bit rate, like \"720:3000k\"");
            let (height, rate) = part.split_once(':').ok_or_else(bad)?;
            let height: u32 = height.trim_end_matches('p').parse().map_err(|_| bad())?;
            if !(96..=4320).contains(&height) || height % 2 == 1 {
                return Err(format!("{part:?}: the height must be even and from 96 to 4320"));
            }
            Ok((height, parse_rate(rate)?))
        })
        .collect::<Result<Vec<_>, _>>()?;
    rungs.sort_by_key(|(height, _)| std::cmp::Reverse(*height));
    if rungs.len() > 8 || rungs.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err("at most 8 rungs, each height once".to_owned());
    }
    Ok(rungs)
}
