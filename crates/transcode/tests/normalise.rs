#![allow(clippy::unwrap_used)] // the whole file is tests
//! Pictures that the rungs cannot be made of as they are, judged by their pixels against FFmpeg's own filters.

mod support;

use media::{TrackKind, VideoConfig};
use support::{check_rung, clip, events, inputs, likeness_to, packets, planned, run, times};
use transcode::{
    Isolation,
    ladder::{RungWish, Wishes},
};

const HEVC: &str = "-c:v libx265 -preset ultrafast -tag:v hvc1 -x265-params log-level=none:keyint=30";
const X264: &str = "-c:v libx264 -preset veryfast -g 30";
/// FFmpeg's usual chain, with the same reference white and curve.
const TONE_MAP: &str = "zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=709,\
                        tonemap=mobius:desat=0:peak=4.926,zscale=t=709:m=709:r=limited,format=yuv420p";

fn colours(config: &VideoConfig) -> (u8, u8, u8) {
    let sps = &config.h264().unwrap().sps_units[0];
    let body = h264_reader::rbsp::decode_nal(sps).unwrap();
    let bits = h264_reader::rbsp::BitReader::new(&*body);
    let sps = h264_reader::nal::sps::SeqParameterSet::from_bits(bits).unwrap();
    let said = sps.vui_parameters.and_then(|vui| vui.video_signal_type?.colour_description);
    said.map_or((2, 2, 2), |said| {
        (said.colour_primaries, said.transfer_characteristics, said.matrix_coefficients)
    })
}

/// Encodes a clip of three seconds and compares each rung with what `filters` make of the source, and with what `not` makes:
/// the first must be near, the other, where there is one, at least 6 dB farther away.
async fn check(name: &str, args: &str, size: (u32, u32), filters: &str, not: Option<&str>) -> (u8, u8, u8) {
    let clip = clip("mp4", args);
    let wishes = Wishes {
        rungs: [240, 120].map(|height| RungWish { height, bitrate_bps: None }).to_vec(),
        ..Wishes::default()
    };
    let (_, plan, job) = planned(&clip.path, &wishes);
    assert_eq!((plan.rungs[0].width, plan.rungs[0].height), size, "{name}: {plan}");
    let events = events(&clip.path);
    let source_times = times(packets(&events, TrackKind::Video));
    let cuts = vec![source_times[0], source_times[source_times.len() / 2]];
    let made = run(Isolation::Thread, job, inputs(events, Some(cuts.clone()))).await;
    assert_eq!(made.end, Some(Ok(())), "{name}");
    let encoded = plan.rungs.iter().filter(|rung| !rung.is_copy()).count();
    assert_eq!(made.video.len(), encoded, "{name}");
    for rung in 0..encoded {
        check_rung(&made, rung, &source_times, &cuts);
        let near = likeness_to(&made, rung, &clip.path, filters);
        assert!(near > 24.0, "{name}, rung {rung}: {near} dB");
        if let Some(not) = not {
            let far = likeness_to(&made, rung, &clip.path, not);
            assert!(far < near - 6.0, "{name}, rung {rung}: {near} dB, and {far} dB without");
        }
    }
    colours(&made.configs[0])
}

#[tokio::test]
async fn interlaced_pictures_are_deinterlaced_frame_for_frame() {
    // every line moves between the fields, so that combs cost much likeness
    let source = "-f lavfi -i testsrc2=size=320x240:rate=50,scroll=horizontal=0.02 -t 3";
    for (name, mode, flags) in [
        ("top field first", "interleave_top", "-flags +ildct+ilme -x264-params tff=1"),
        ("bottom field first", "interleave_bottom", "-flags +ildct+ilme -x264-params bff=1"),
    ] {
        let args = format!("{source} -vf tinterlace={mode} {X264} {flags}");
        check(name, &args, (320, 240), "bwdif=mode=send_frame", Some("null")).await;
    }
}

#[tokio::test]
async fn pictures_are_turned_as_the_stream_says() {
    let source = "-f lavfi -i testsrc2=size=320x240:rate=30 -t 3";
    for (name, bsf, size, filters) in [
        ("quarter left", "rotate=90", (240, 320), "transpose=cclock"),
        ("quarter right", "rotate=270", (240, 320), "transpose=clock"),
        ("upside down", "rotate=180", (320, 240), "hflip,vflip"),
        ("mirrored", "flip=horizontal", (320, 240), "hflip"),
        ("flipped", "flip=vertical", (320, 240), "vflip"),
        // h264_metadata writes both, and the flip is done first
        ("mirrored, then left", "flip=horizontal:rotate=90", (240, 320), "hflip,transpose=cclock"),
    ] {
        let args = format!("{source} {X264} -bsf:v h264_metadata=display_orientation=insert:{bsf}");
        check(name, &args, size, filters, Some("null")).await;
    }
}

#[tokio::test]
async fn hdr_is_tone_mapped_and_declared_as_what_it_then_is() {
    for (name, transfer, to_10_bit) in [
        (
            "PQ",
            "16",
            "zscale=tin=linear:pin=2020:p=2020:t=smpte2084:m=2020_ncl:r=limited:npl=203,format=yuv420p10le",
        ),
        (
            "HLG",
            "18",
            "zscale=tin=linear:pin=2020:p=2020:t=arib-std-b67:m=2020_ncl:r=limited:npl=203,format=yuv420p10le",
        ),
    ] {
        let graph = format!(
            "format=gbrp,zscale=rin=full:min=gbr:pin=709:tin=709:t=linear:p=2020:npl=203,format=gbrpf32le,{to_10_bit}"
        );
        let args = format!(
            "-filter_threads 1 -f lavfi -i testsrc2=size=320x240:rate=30 -vf {graph} -t 3 \
             {HEVC}:colorprim=9:transfer={transfer}:colormatrix=9"
        );
        let declared = check(name, &args, (320, 240), TONE_MAP, Some("null")).await;
        assert_eq!(declared, (1, 1, 1), "{name}");
    }
}

#[tokio::test]
async fn wide_colours_without_hdr_become_the_usual_ones() {
    let graph = "testsrc2=size=320x240:rate=30,hue=s=0.3,format=yuv444p,colorspace=iall=bt709:all=bt2020:format=yuv420p10";
    let args = format!("-f lavfi -i {graph} -t 3 {HEVC}:colorprim=9:transfer=14:colormatrix=9");
    let filters = "zscale=p=709:t=709:m=709:r=limited,format=yuv420p";
    assert_eq!(check("BT.2020", &args, (320, 240), filters, None).await, (1, 1, 1));
}

#[tokio::test]
async fn anamorphic_pictures_have_the_shape_that_is_shown() {
    let args = format!("-f lavfi -i testsrc2=size=240x240:rate=30,setsar=4/3 -t 3 {X264} -pix_fmt yuv422p");
    check("H.264 says it beforehand", &args, (320, 240), "scale=320:240", None).await;
    // HEVC's shape shows with the first frame only: it is fitted in, 240 x 180 in the middle
    let args = format!("-f lavfi -i testsrc2=size=240x240:rate=30,setsar=4/3 -t 3 {HEVC}");
    let fitted = "scale=240:180:flags=bicubic,pad=240:240:0:30";
    check("HEVC", &args, (240, 240), fitted, Some("null")).await;
}
