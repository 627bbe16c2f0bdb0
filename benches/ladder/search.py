#!/usr/bin/env python3
"""Tries x264 settings on one rung: CPU and quality beside `veryfast` at the same bit rate, cap and GOP.

    benches/ladder/search.py CLIP RUNG:KBITS[,RUNG:KBITS…] NAME=PRESET[:OPTION=VALUE…] …

CLIP is one of benches/ladder/clips.sh; RUNG is a height. Pictures are scaled once, each rung from the next larger, into
target/bench-clips; then each candidate encodes them with one thread, RUNS times (environment, 2), the least CPU of its runs
counting. Quality is that of the decoded rung, enlarged (bicubic) to the clip's size, against
the clip; every SUBSAMPLE-th frame (7). `keyint=infinite` and a key frame forced every 60 frames, as in Sluice.
"""
import json, os, resource, subprocess, sys, tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STATIC = os.environ.get("FFMPEG_STATIC", str(ROOT / "target/e2e-tools/ffmpeg-static"))
RUNS = int(os.environ.get("RUNS", 2))
# Seven has no factor in common with x264's usual four frames from P to P, nor with the GOP: every kind of frame counts.
SUBSAMPLE = int(os.environ.get("SUBSAMPLE", 7))
SIZES = {1080: (1920, 1080), 720: (1280, 720), 480: (854, 480), 360: (640, 360), 240: (426, 240)}


def cpu(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def scaled(clip, heights):
    """Raw pictures of each height, each made from the next larger one."""
    made, source = {}, str(clip)
    for height in sorted({720, 480, 360, 240, *heights} if min(heights) < 1080 else heights, reverse=True):
        if height < min(heights):
            break
        width, _ = SIZES[height]
        path = clip.with_name(f"{clip.stem}-{height}.y4m")
        if not path.exists():
            cpu(["ffmpeg", "-v", "error", "-y", "-i", source, "-an", "-vf", f"scale={width}:{height}:flags=bicubic", str(path)])
        made[height] = path
        source = str(path)
    return made


def quality(rung, clip):
    """VMAF, SSIM, PSNR of the luma, all means."""
    with tempfile.NamedTemporaryFile(suffix=".json") as log:
        graph = (
            f"[0:v]scale=1920:1080:flags=bicubic,setpts=N/30/TB[a];[1:v]setpts=N/30/TB[b];[a][b]"
            f"libvmaf=feature=name=psnr|name=float_ssim:n_subsample={SUBSAMPLE}:n_threads=2:log_fmt=json:log_path={log.name}"
        )
        subprocess.run(
            [STATIC, "-nostdin", "-v", "error", "-i", rung, "-i", str(clip), "-lavfi", graph, "-f", "null", "-"], check=True
        )
        pooled = json.load(open(log.name))["pooled_metrics"]
    return [pooled[key]["mean"] for key in ("vmaf", "float_ssim", "psnr_y")]


def encode(source, kbits, settings, to):
    preset, _, options = settings.partition(":")
    return cpu(
        ["ffmpeg", "-nostdin", "-v", "error", "-y", "-threads", "1", "-i", str(source), "-c:v", "libx264", "-preset", preset]
        + ["-threads", "1", "-b:v", f"{kbits}k", "-maxrate", f"{kbits * 5 // 4}k", "-bufsize", f"{kbits}k"]
        + ["-force_key_frames", "expr:eq(mod(n,60),0)", "-forced-idr", "1"]
        + ["-x264-params", "keyint=infinite:scenecut=0:open-gop=0:force-cfr=1" + (":" + options if options else "")]
        + ["-f", "mp4", to]
    )


def main():
    clip = Path(sys.argv[1])
    rungs = [tuple(map(int, rung.split(":"))) for rung in sys.argv[2].split(",")]
    candidates = [("veryfast", "veryfast")] + [tuple(text.split("=", 1)) for text in sys.argv[3:]]
    sources = scaled(clip, [height for height, _ in rungs])
    for height, kbits in rungs:
        with tempfile.TemporaryDirectory(dir=clip.parent) as work:
            reading = min(cpu(["ffmpeg", "-v", "error", "-threads", "1", "-i", str(sources[height]), "-f", "null", "-"]) for _ in range(2))
            base = None
            for name, settings in candidates:
                path = f"{work}/{name}.mp4"
                took = min(encode(sources[height], kbits, settings, path) for _ in range(RUNS)) - reading
                length = float(subprocess.run(
                    ["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", path],
                    check=True, capture_output=True, text=True).stdout)
                rate = os.path.getsize(path) * 8 / length / 1000
                vmaf, ssim, psnr = quality(path, clip)
                base = base or (took, vmaf, ssim, psnr)
                print(
                    f"{clip.stem:<12} {height:>4} {name:<12} cpu {took / base[0]:5.2f} ({took / length:.4f} s/s)"
                    f"  VMAF {vmaf:6.2f} {vmaf - base[1]:+6.2f}  SSIM {ssim - base[2]:+.4f}  PSNR {psnr - base[3]:+5.2f}"
                    f"  {rate:6.0f} kbit/s  {settings}", flush=True)


main()
