//! Stills of real pictures: right size, right moment, right colours; FFmpeg's command line judges.

mod support;

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use media::{MediaSpan, TrackKind};
use support::{Made, clip, events, inputs, packets, picture, planned, process, run, times};
use transcode::{
    Input, Isolation, Job, SHEET_COLUMNS, Sheet, Still, StillKind, StillsJob, Transcoder,
    ladder::{RungWish, Wishes},
};

fn every(millis: i64) -> StillsJob {
    StillsJob { interval: MediaSpan::from_millis(millis) }
}

/// Runs FFmpeg with a picture on its standard input.
#[track_caller]
fn ffmpeg(jpeg: &[u8], args: &str) -> (Vec<u8>, String) {
    let mut child = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "info", "-f", "mjpeg", "-i", "-"])
        .args(args.split_whitespace())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ffmpeg is installed");
    child.stdin.take().expect("piped").write_all(jpeg).expect("ffmpeg reads");
    let output = child.wait_with_output().expect("ffmpeg ends");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    (output.stdout, told)
}

/// The file's luma, row by row, as it is coded.
#[track_caller]
fn luma(still: &Still) -> Vec<u8> {
    // `extractplanes` takes the samples as they are, without a conversion of range.
    let (pixels, _) = ffmpeg(&still.jpeg, "-vf extractplanes=y -f rawvideo -");
    assert_eq!(pixels.len(), (still.width * still.height) as usize, "the size that is told");
    pixels
}

/// Mean luma of the middle of a tile.
fn tile_luma(still: &Still, sheet: &Sheet, pixels: &[u8], tile: usize) -> f64 {
    let (column, row) = (tile as u32 % SHEET_COLUMNS, tile as u32 / SHEET_COLUMNS);
    let (mut sum, mut count) = (0_u32, 0_u32);
    for y in sheet.tile_height / 4..sheet.tile_height * 3 / 4 {
        for x in sheet.tile_width / 4..sheet.tile_width * 3 / 4 {
            let at = (row * sheet.tile_height + y) * still.width + column * sheet.tile_width + x;
            sum += u32::from(pixels[at as usize]);
            count += 1;
        }
    }
    f64::from(sum) / f64::from(count)
}

fn of(made: &Made, is: fn(&StillKind) -> bool) -> Vec<&Still> {
    made.stills.iter().filter(|still| is(&still.kind)).collect()
}

fn thumbnails(made: &Made) -> Vec<&Still> {
    of(made, |kind| *kind == StillKind::Thumbnail)
}

fn posters(made: &Made) -> Vec<&Still> {
    of(made, |kind| *kind == StillKind::Poster)
}

fn sheets(made: &Made) -> Vec<(&Still, &Sheet)> {
    made.stills
        .iter()
        .filter_map(|still| match &still.kind {
            StillKind::Sheet(sheet) => Some((still, sheet)),
            _ => None,
        })
        .collect()
}

/// Ten frames a second, each two codes of luma above the one before.
fn ramp(size: &str, seconds: u32) -> support::Clip {
    clip(
        "mp4",
        &format!(
            "-f lavfi -i nullsrc=size={size}:rate=10,geq=lum='16+2*N':cb=128:cr=128 -t {seconds} \
             -c:v libx264 -preset veryfast -bf 2 -g 10 -keyint_min 10 -sc_threshold 0 -pix_fmt yuv420p"
        ),
    )
}

/// What a frame of [`ramp`] at this time is in full range.
fn full_range(ticks: i64) -> f64 {
    let code = 2.0 * (ticks as f64 / 9000.0).round();
    code * 255.0 / 219.0
}

/// Runs a job over a clip of ten frames a second, and gives each still that is due every two seconds the time it takes:
/// what comes faster than it can be made is left out, and a clip comes faster than any live stream.
async fn paced(job: Job, inputs: Vec<Input>) -> Made {
    let mut transcoder = Transcoder::start(Isolation::Thread, job).await.expect("it starts");
    let mut made = Made::default();
    let mut frames = 0;
    for input in inputs {
        frames += u32::from(matches!(input, Input::Packet(_)));
        transcoder.try_send(input).expect("the queue holds the clip");
        if frames % 20 == 15 {
            let sheets = frames / 20 + 1;
            while self::sheets(&made).len() < sheets as usize {
                made.take(transcoder.recv().await.expect("it runs"));
            }
        }
    }
    while let Some(output) = transcoder.recv().await {
        made.take(output);
    }
    made
}

#[tokio::test]
async fn a_ladder_gives_stills_of_the_right_moments_beside_its_rungs() {
    let clip = ramp("854x480", 10);
    let wishes = Wishes { rungs: vec![RungWish { height: 240, bitrate_bps: None }], ..Wishes::default() };
    let (_, _, mut job) = planned(&clip.path, &wishes);
    job.stills = Some(every(2000));
    let events = events(&clip.path);
    let source_times = times(packets(&events, TrackKind::Video));
    let keys: Vec<i64> = source_times.iter().copied().step_by(10).collect();
    let first = source_times[0];
    let made = paced(job, inputs(events, None)).await;
    assert_eq!(made.end, Some(Ok(())));
    // The pace may show frames of so slow a source twice.
    let shown = times(&made.video[0]);
    assert!(source_times.iter().all(|at| shown.contains(at)), "the rung has every frame: {shown:?}");
    assert_eq!(made.keys(0), keys);
    let thumbnails = thumbnails(&made);
    let at: Vec<i64> = thumbnails.iter().map(|still| still.at.ticks() - first).collect();
    assert_eq!(at, [0, 180_000, 360_000, 540_000, 720_000]);
    for still in &thumbnails {
        assert_eq!((still.width, still.height), (320, 180));
        let pixels = luma(still);
        let mean = pixels.iter().map(|p| f64::from(*p)).sum::<f64>() / pixels.len() as f64;
        let want = full_range(still.at.ticks() - first);
        assert!((mean - want).abs() < 2.0, "at {}: {mean}, not {want}", still.at.ticks());
    }
    assert_eq!((posters(&made)[0].width, posters(&made)[0].height), (854, 480), "never enlarged");
    let (still, sheet) = *sheets(&made).last().unwrap();
    assert_eq!(sheet.tiles, thumbnails.iter().map(|still| still.at).collect::<Vec<_>>());
    assert_eq!((still.width, still.height, sheet.tile_width, sheet.tile_height), (800, 450, 160, 90));
    let pixels = luma(still);
    for (tile, at) in sheet.tiles.iter().enumerate() {
        let (mean, want) = (tile_luma(still, sheet, &pixels, tile), full_range(at.ticks() - first));
        assert!((mean - want).abs() < 3.0, "tile {tile}: {mean}, not {want}");
    }
}

/// SSIM of a still with a frame of the clip, both at the still's size and in its colours.
#[track_caller]
fn ssim(still: &Still, path: &Path, seconds: f64) -> f64 {
    let (width, height) = (still.width, still.height);
    let graph = format!(
        "[1:v]scale={width}:{height}:flags=bicubic:in_color_matrix=bt709:out_color_matrix=bt601:out_range=full,\
         format=yuvj420p[b];[0:v]format=yuvj420p[a];[a][b]ssim=shortest=1"
    );
    let args = format!("-ss {seconds} -i {} -lavfi {graph} -frames:v 1 -f null -", path.display());
    let (_, told) = ffmpeg(&still.jpeg, &args);
    let all = told.rsplit_once("All:").expect("an SSIM").1;
    all.split([' ', '(']).next().unwrap_or_default().parse().expect("a number")
}

#[tokio::test]
async fn keyframes_alone_give_stills_in_a_worker_process() {
    let tags = "-colorspace bt709 -color_primaries bt709 -color_trc bt709";
    for (size, thumbnail, poster) in [
        ("1920x1080", (320, 180), (1280, 720)),
        ("720x1280", (180, 320), (720, 1280)),
        ("640x480", (320, 240), (640, 480)),
    ] {
        let clip = picture(size, 30, 4, 30, tags);
        let (source, _, _) = planned(&clip.path, &Wishes::default());
        let events = events(&clip.path);
        let keys: Vec<_> = packets(&events, TrackKind::Video)
            .into_iter()
            .filter(|packet| packet.keyframe)
            .cloned()
            .collect();
        assert_eq!(keys.len(), 4);
        let job = Job::stills(source.video.as_ref().unwrap(), every(100));
        let first = keys[0].pts;
        let inputs = keys.iter().cloned().map(Input::Packet).chain([Input::Finish]).collect();
        let made = run(process(), job, inputs).await;
        assert_eq!(made.end, Some(Ok(())), "{size}");
        assert!(made.video.is_empty() && made.audio.is_empty());
        let thumbnails = thumbnails(&made);
        // What comes faster than it can be made is left out; all but the first may be.
        assert!(!thumbnails.is_empty() && thumbnails[0].at == first, "{size}");
        for still in thumbnails.iter().chain(&posters(&made)) {
            let want = if still.kind == StillKind::Poster { poster } else { thumbnail };
            assert_eq!((still.width, still.height), want, "{size}");
            assert!(keys.iter().any(|packet| packet.pts == still.at), "{size}");
            let ssim = ssim(still, &clip.path, (still.at - first).as_secs_f64());
            assert!(ssim > 0.93, "{size}: SSIM {ssim} of {:?} at {:?}", still.kind, still.at);
        }
    }
}

#[tokio::test]
async fn without_a_wish_there_are_no_stills() {
    let clip = picture("640x480", 30, 1, 30, "");
    let (_, _, job) = planned(&clip.path, &Wishes::default());
    assert_eq!(job.stills, None);
    let made = run(Isolation::Thread, job, inputs(events(&clip.path), None)).await;
    assert_eq!((made.end, made.stills.len()), (Some(Ok(())), 0));
}

#[tokio::test]
async fn rubbish_gives_no_still_and_what_follows_does() {
    let clip = picture("640x480", 30, 2, 30, "");
    let (source, _, _) = planned(&clip.path, &Wishes::default());
    let events = events(&clip.path);
    let keys: Vec<_> =
        packets(&events, TrackKind::Video).into_iter().filter(|p| p.keyframe).cloned().collect();
    let mut broken = keys[0].clone();
    broken.data = vec![0xA5; 5000].into();
    let job = Job::stills(source.video.as_ref().unwrap(), every(100));
    let inputs = [broken, keys[1].clone()].map(Input::Packet).into_iter().chain([Input::Finish]).collect();
    let made = run(process(), job, inputs).await;
    assert_eq!(made.end, Some(Ok(())));
    assert_eq!(thumbnails(&made).iter().map(|still| still.at).collect::<Vec<_>>(), [keys[1].pts]);
}
