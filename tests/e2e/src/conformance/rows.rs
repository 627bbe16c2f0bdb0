//! The rows themselves.

use super::client::{Client, Transport};
use super::pictures::Expected;
use super::publish::{self, Publication};
use super::sample::{AAC, H264, Recipe};
use super::{Arena, Group, Record, Row, Run, events, play};
use anyhow::Result;

use Client::{Feeder, Ffmpeg, FfmpegStatic, Obs, Rtmp2sink, Rtmpdump, Rtmpsink};
use Transport::{Rtmp, Rtmpe, Rtmps, Rtmpt, Rtmpte, Rtmpts};

/// Every row, in the order of the table.
pub fn all() -> Vec<Row> {
    [transports(), plays(), enhanced(), media(), normalised(), times(), happenings()]
        .into_iter()
        .flatten()
        .collect()
}

fn row(group: Group, name: &str, client: Client, transport: Transport, run: Run) -> Row {
    let name = format!("{}/{name}", group.name());
    Row { name, client, transport, quick: false, alone: false, run }
}

impl Row {
    /// Part of the short run.
    fn quick(self) -> Self {
        Row { quick: true, ..self }
    }
}

fn event(
    name: &str,
    client: Client,
    transport: Transport,
    run: impl Fn(&Arena, &Row) -> Result<Record> + Send + Sync + 'static,
) -> Row {
    row(Group::Event, name, client, transport, Box::new(run))
}

fn published(
    group: Group,
    name: &str,
    client: Client,
    transport: Transport,
    publication: Publication,
) -> Row {
    row(group, name, client, transport, Box::new(move |arena, row| publish::run(arena, row, &publication)))
}

fn transports() -> Vec<Row> {
    let one = |name: &str, client, transport| {
        let publication = Publication::of(Recipe::usual("usual"));
        published(Group::Transport, name, client, transport, publication)
    };
    let obs = row(Group::Transport, "obs-rtmp", Obs, Rtmp, Box::new(events::obs));
    vec![
        one("ffmpeg-rtmp", Ffmpeg, Rtmp).quick(),
        one("ffmpeg-rtmps", Ffmpeg, Rtmps).quick(),
        one("ffmpeg-rtmpt", Ffmpeg, Rtmpt).quick(),
        one("ffmpeg-rtmpts", Ffmpeg, Rtmpts).quick(),
        one("ffmpeg9-rtmp", FfmpegStatic, Rtmp),
        one("ffmpeg9-rtmps", FfmpegStatic, Rtmps),
        one("ffmpeg9-rtmpt", FfmpegStatic, Rtmpt),
        // FFmpeg 9 has no RTMPTS: its tunnel asks for http behind an https connection, which its HTTP client refuses.
        one("ffmpeg9-rtmpe", FfmpegStatic, Rtmpe).quick(),
        one("ffmpeg9-rtmpte", FfmpegStatic, Rtmpte).quick(),
        one("rtmpsink-rtmp", Rtmpsink, Rtmp).quick(),
        one("rtmpsink-rtmpe", Rtmpsink, Rtmpe),
        one("rtmpsink-rtmpt", Rtmpsink, Rtmpt).quick(),
        one("rtmpsink-rtmpte", Rtmpsink, Rtmpte),
        one("rtmpsink-rtmps", Rtmpsink, Rtmps).quick(),
        one("rtmpsink-rtmpts", Rtmpsink, Rtmpts),
        one("rtmp2sink-rtmp", Rtmp2sink, Rtmp).quick(),
        one("rtmp2sink-rtmps", Rtmp2sink, Rtmps),
        Row { alone: true, ..obs },
    ]
}

fn plays() -> Vec<Row> {
    let one = |name: &str, client, transport| row(Group::Play, name, client, transport, Box::new(play::run));
    vec![
        one("rtmpdump-rtmp", Rtmpdump, Rtmp).quick(),
        one("rtmpdump-rtmpe", Rtmpdump, Rtmpe).quick(),
        one("rtmpdump-rtmpt", Rtmpdump, Rtmpt).quick(),
        one("rtmpdump-rtmps", Rtmpdump, Rtmps),
        one("ffmpeg-rtmp", Ffmpeg, Rtmp),
        one("ffmpeg-rtmpt", Ffmpeg, Rtmpt),
        one("ffmpeg9-rtmp", FfmpegStatic, Rtmp),
        one("ffmpeg9-rtmpe", FfmpegStatic, Rtmpe),
        one("ffmpeg9-rtmps", FfmpegStatic, Rtmps),
    ]
}

/// H.264 with other sound, in Matroska.
const fn sound(name: &'static str, audio: &'static str) -> Recipe {
    Recipe::usual(name).audio(audio).matroska()
}

/// Other pictures with AAC, in Matroska.
const fn picture(name: &'static str, video: &'static str) -> Recipe {
    Recipe::usual(name).video(video).matroska()
}

fn enhanced() -> Vec<Row> {
    const HEVC: &str = "libx265 -preset ultrafast -b:v 600k -x265-params log-level=error:scenecut=0";
    const HEVC_B: &str =
        "libx265 -preset superfast -b:v 600k -x265-params log-level=error:bframes=3:b-adapt=0";
    const AV1: &str = "libsvtav1 -preset 12 -b:v 600k";
    const VP9: &str = "libvpx-vp9 -deadline realtime -cpu-used 8 -b:v 600k";
    const VVC: &str = "libvvenc -preset faster -b:v 400k";
    const OPUS: &str = "libopus -b:a 96k -ac 2";
    let one = |name: &str, recipe: Recipe| {
        published(Group::Enhanced, name, FfmpegStatic, Rtmp, Publication::of(recipe))
    };
    let twin = Publication {
        inputs: vec![
            Recipe::usual("multitrack-large").size("640x360"),
            // With sound, though it is not sent: its pictures then begin as late in the file as the large ones.
            Recipe::usual("multitrack-small"),
        ],
        copied: vec![(640, 360), (320, 180)],
        ..Publication::default()
    };
    let two_sounds = Publication {
        inputs: vec![Recipe::usual("usual"), Recipe::usual("second-sound").video("").tone(440)],
        sounds: vec![440],
        ..Publication::default()
    };
    let listed = ["-rtmp_enhanced_codecs", "hvc1,av01,vp09,Opus"];
    vec![
        one("hevc-aac", picture("hevc", HEVC)).quick(),
        one("hevc-b-frames", picture("hevc-b", HEVC_B)),
        one("av1-aac", picture("av1", AV1)).quick(),
        one("vp9-opus", picture("vp9-opus", VP9).audio(OPUS)).quick(),
        one("h264-opus", sound("opus", OPUS)),
        one("h264-flac", sound("flac", "flac -ar 48000 -ac 2 -sample_fmt s16")),
        one("h264-ac3", sound("ac3", "ac3 -b:a 192k -ac 2")),
        one("h264-eac3", sound("eac3", "eac3 -b:a 192k -ac 2")),
        one("h264-ac3-six-channels", sound("ac3-51", "ac3 -b:a 384k -ac 6")),
        published(
            Group::Enhanced,
            "hevc-codecs-listed",
            FfmpegStatic,
            Rtmp,
            Publication::of(picture("hevc", HEVC)).options(&listed),
        ),
        row(
            Group::Enhanced,
            "vvc-is-refused",
            FfmpegStatic,
            Rtmp,
            Box::new(move |arena, row| {
                events::unknown_coding(arena, row, &picture("vvc", VVC), &["vvc", "h.266"])
            }),
        ),
        published(
            Group::Enhanced,
            "two-video-tracks",
            FfmpegStatic,
            Rtmp,
            twin.options(&["-map", "0:v", "-map", "1:v", "-map", "0:a"]),
        )
        .quick(),
        published(
            Group::Enhanced,
            "two-audio-tracks",
            FfmpegStatic,
            Rtmp,
            two_sounds.options(&["-map", "0:v", "-map", "0:a", "-map", "1:a"]),
        )
        .quick(),
    ]
}

fn media() -> Vec<Row> {
    const B_FRAMES: &str = "libx264 -preset veryfast -bf 3 -b_strategy 0 -b:v 600k -sc_threshold 0";
    const OPEN_GOP: &str =
        "libx264 -preset veryfast -bf 3 -b_strategy 0 -flags -cgop -x264-params open-gop=1:scenecut=0";
    const FORCED: &str =
        "libx264 -preset ultrafast -b:v 600k -sc_threshold 0 -force_key_frames expr:gte(t,n_forced*2)";
    // Every other second at half the rate: keyframes 60 pictures apart come 2 to 3 s apart.
    const VARIABLE: &str = "select='if(lt(mod(n,60),30),1,not(mod(n,2)))'";
    let one =
        |name: &str, recipe: Recipe| published(Group::Media, name, Ffmpeg, Rtmp, Publication::of(recipe));
    let usual = Recipe::usual;
    vec![
        one("b-frames", usual("b-frames").video(B_FRAMES)).quick(),
        one("open-gop", usual("open-gop").video(OPEN_GOP)),
        one("ten-second-gop", usual("ten-second-gop").gop(300)).quick(),
        one("variable-rate", usual("variable-rate").video(FORCED).filter(VARIABLE)).quick(),
        published(
            Group::Media,
            "variable-rate-and-gop",
            Ffmpeg,
            Rtmp,
            Publication {
                breaks: 1,
                paced: Some(30),
                ..Publication::of(usual("variable-gop").filter(VARIABLE))
            },
        ),
        one("mono-44100", usual("mono-44100").audio("aac -b:a 64k -ar 44100 -ac 1")),
        one("sound-only", usual("sound-only").video("")).quick(),
        one("picture-only", usual("picture-only").audio("")).quick(),
        one("mp3", usual("mp3").audio("libmp3lame -b:a 128k -ar 44100 -ac 2")).quick(),
        one("mp3-mono-22050", usual("mp3-mono").audio("libmp3lame -b:a 64k -ar 22050 -ac 1")),
        one("mp3-only", usual("mp3-only").video("").audio("libmp3lame -b:a 128k -ar 44100 -ac 2")),
        one("speex", usual("speex").audio("libspeex -ar 16000 -ac 1")).quick(),
        one("pcm", usual("pcm").audio("pcm_s16le -ar 44100 -ac 2")),
        one("g711-mu-law", usual("mu-law").audio("pcm_mulaw -ar 8000 -ac 1")),
        one("g711-a-law", usual("a-law").audio("pcm_alaw -ar 8000 -ac 1")),
        one("adpcm", usual("adpcm").audio("adpcm_swf -ar 22050 -ac 1")),
        one("nellymoser", usual("nellymoser").audio("nellymoser -ar 22050 -ac 1")),
        one("flv1-mp3", usual("flv1").video("flv1 -b:v 800k").audio("libmp3lame -b:a 96k -ar 44100")).quick(),
        one("screen-video", usual("screen").video("flashsv").audio(AAC)),
        one("screen-video-2", usual("screen-2").video("flashsv2").audio(AAC)),
        one(
            "h264-4-4-4",
            usual("high444").video("libx264 -preset ultrafast -pix_fmt yuv444p -sc_threshold 0"),
        ),
        one("h264-baseline", usual("baseline").video(H264)),
    ]
}

/// Pictures that have to be made into what players take. Two rungs each.
fn normalised() -> Vec<Row> {
    const HEVC_10: &str = "libx265 -preset ultrafast -b:v 1200k -x265-params log-level=error:scenecut=0";
    // Without sound: no flash of an HDR picture is white enough to measure sound by.
    // Diffuse white of the test picture at 203 cd/m², as BT.2408 has it.
    const PQ: &str = "zscale=pin=709:tin=709:min=709:rin=limited:p=2020:t=smpte2084:m=2020_ncl:r=limited:npl=203,\
                      format=yuv420p10le";
    const HLG: &str = "zscale=pin=709:tin=709:min=709:rin=limited:p=2020:t=arib-std-b67:m=2020_ncl:r=limited:npl=203,\
                       format=yuv420p10le";
    const AV1_10: &str = "libsvtav1 -preset 12 -b:v 1200k";
    const INTERLACED: &str = "libx264 -preset ultrafast -b:v 1200k -sc_threshold 0 -pix_fmt yuv420p \
                              -flags +ildct+ilme -x264-params tff=1";
    // The picture moves from field to field, so that its lines comb.
    const FIELDS: &str = "fps=60,scroll=horizontal=0.02,tinterlace=interleave_top";
    const HIGH_422: &str =
        "libx264 -preset ultrafast -b:v 1200k -sc_threshold 0 -pix_fmt yuv422p10le -profile:v high422";
    const TURNED: &str = "libx264 -preset ultrafast -b:v 1200k -sc_threshold 0 -bsf:v h264_metadata=display_orientation=insert:rotate=90";
    const HIGH_444: &str = "libx264 -preset ultrafast -b:v 1200k -sc_threshold 0";
    let usual = |name| Recipe::usual(name).size("640x360");
    let as_is = Expected { size: (640, 360), luma: None, bt709: false, deinterlaced: false };
    // FFmpeg's own chain (`tonemap=mobius` by a peak of 1000 cd/m²) gives a mean luma of 123; taken for BT.709, PQ gives
    // 115 and HLG 131.
    let mapped = Expected { luma: Some((119.0, 127.0)), bt709: true, ..as_is };
    let one = |name: &str, client, recipe: Recipe, expected| {
        let publication = Publication { pictures: Some(expected), ..Publication::of(recipe) };
        published(Group::Media, name, client, Rtmp, publication)
    };
    vec![
        one("hevc-hdr-pq", FfmpegStatic, usual("pq").video(HEVC_10).filter(PQ).audio("").matroska(), mapped)
            .quick(),
        one(
            "hevc-hdr-hlg",
            FfmpegStatic,
            usual("hlg").video(HEVC_10).filter(HLG).audio("").matroska(),
            mapped,
        ),
        one(
            "av1-hdr-pq",
            FfmpegStatic,
            usual("av1-pq").video(AV1_10).filter(PQ).audio("").matroska(),
            mapped,
        ),
        one(
            "h264-interlaced",
            Ffmpeg,
            usual("interlaced").video(INTERLACED).filter(FIELDS),
            Expected { deinterlaced: true, ..as_is },
        )
        .quick(),
        one("h264-4-2-2-10-bit", Ffmpeg, usual("high422").video(HIGH_422), as_is),
        one("h264-turned", Ffmpeg, usual("turned").video(TURNED), Expected { size: (360, 640), ..as_is }),
        one(
            "h264-odd-size",
            Ffmpeg,
            usual("odd").size("641x361").video(HIGH_444).filter("format=yuv444p"),
            as_is,
        ),
    ]
}

/// Timestamps that start just under a fold and go over it.
fn times() -> Vec<Row> {
    // FFmpeg writes 31 bits of a time (FLV's are signed), so a start under 2^32 folds as one under 2^31 does.
    let offset = |name: &str, seconds: &str| {
        let publication = Publication::of(Recipe::usual("usual")).options(&["-output_ts_offset", seconds]);
        published(Group::Media, name, Ffmpeg, Rtmp, publication)
    };
    let fed = |name: &str, start: u32| {
        row(Group::Media, name, Feeder, Rtmp, Box::new(move |arena, row| events::wraps(arena, row, start)))
    };
    vec![
        offset("over-2^24-ms", "16773.216").quick(),
        offset("over-2^31-ms", "2147479.648").quick(),
        offset("over-2^32-ms", "4294963.296"),
        fed("over-2^24-ms-fed", (1 << 24) - 4000),
        fed("over-2^31-ms-fed", (1 << 31) - 4000),
        fed("over-2^32-ms-fed", 0u32.wrapping_sub(4000)).quick(),
        row(Group::Media, "size-changes", Feeder, Rtmp, Box::new(events::resized)).quick(),
    ]
}

fn happenings() -> Vec<Row> {
    use events::Login::{Right, UnknownUser, WrongPassword};
    let login = |name: &str, client, transport, login| {
        event(name, client, transport, move |arena, row| events::login(arena, row, login))
    };
    vec![
        event("killed-and-back", Ffmpeg, Rtmp, events::killed_and_back).quick(),
        event("killed-and-back-rtmpt", Ffmpeg, Rtmpt, events::killed_and_back),
        event("two-fight-for-a-name", Ffmpeg, Rtmp, events::fight).quick(),
        event("two-fight-over-rtmpe", FfmpegStatic, Rtmpe, events::fight),
        event("wrong-key", Ffmpeg, Rtmp, events::wrong_key).quick(),
        event("wrong-key-rtmps", Ffmpeg, Rtmps, events::wrong_key),
        event("wrong-key-rtmpt", Ffmpeg, Rtmpt, events::wrong_key),
        event("wrong-key-rtmpe", FfmpegStatic, Rtmpe, events::wrong_key),
        login("user-and-password", Ffmpeg, Rtmp, Right).quick(),
        login("user-and-password-rtmpt", Ffmpeg, Rtmpt, Right),
        // No row for librtmp: Debian's aborts with a corrupted heap in the middle of this dialogue.
        login("user-and-password-rtmp2sink", Rtmp2sink, Rtmp, Right),
        login("wrong-password", Ffmpeg, Rtmp, WrongPassword).quick(),
        login("unknown-user", Ffmpeg, Rtmp, UnknownUser),
    ]
}
