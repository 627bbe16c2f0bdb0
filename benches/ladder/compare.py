#!/usr/bin/env python3
"""Runs one clip's ladder through Sluice and through FFmpeg's command line, and prints what each cost and how it looks.

    benches/ladder/compare.py CLIP [--runs N] [--preset auto] [--rungs 720:3000,480:1400,360:800]

CPU is user and system time of all processes a way of doing it needs, per second of content; of several runs the median.
Peak memory is that of the largest process (of ours: the worker). Quality is measured on the pictures as viewers see them: each
rung enlarged (bicubic) to the source's size, beside the source. Called by benches/ladder.sh, which builds what it needs.
"""
import argparse, json, os, shutil, statistics, subprocess, sys, tempfile, time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BENCH = os.environ["LADDER_BENCH"]
STATIC = os.environ.get("FFMPEG_STATIC", str(ROOT / "target/e2e-tools/ffmpeg-static"))
FFMPEG = os.environ.get("FFMPEG", "ffmpeg")
# Seven has no factor in common with x264's usual four frames from P to P, nor with the GOP: every kind of frame counts.
SUBSAMPLE = int(os.environ.get("SUBSAMPLE", 7))


def run(commands):
    """Runs commands one after the other. Returns CPU seconds, wall seconds, the largest one's peak (MiB), the last's output."""
    cpu = wall = peak = 0.0
    for command in commands:
        start = time.monotonic()
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        output = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            sys.exit(f"{' '.join(command)} ended with {child.returncode}")
        wall += time.monotonic() - start
        cpu += usage.ru_utime + usage.ru_stime
        peak = max(peak, usage.ru_maxrss / 1024)
    return cpu, wall, peak, output


def x264(kbits, threads):
    """Same rates, cap, VBV and GOP as the plan's rungs have."""
    options = ["-c:v", "libx264", "-preset", "veryfast", "-b:v", f"{kbits}k", "-maxrate", f"{kbits * 5 // 4}k"]
    options += ["-bufsize", f"{kbits}k", "-g", "60", "-keyint_min", "60", "-sc_threshold", "0"]
    return options + (["-threads", str(threads)] if threads else []) + ["-c:a", "copy", "-f", "mpegts"]


def sized(height):
    return f"{round(height * 16 / 9 / 2) * 2}:{height}"


HEAD = ["-nostdin", "-v", "error", "-y"]


def copied(folder):
    return ["-map", "0:v", "-map", "0:a", "-c", "copy", "-f", "mpegts", f"{folder}/copy.ts"]


def split(clip, rungs, folder):
    """(a) The usual recipe: one process, every rung scaled from the source, automatic threads."""
    graph = f"[0:v]split={len(rungs)}" + "".join(f"[s{i}]" for i in range(len(rungs)))
    graph += "".join(f";[s{i}]scale={sized(height)}:flags=bicubic[v{i}]" for i, (height, _) in enumerate(rungs))
    command = [FFMPEG, *HEAD, "-i", clip, "-filter_complex", graph, *copied(folder)]
    for i, (height, kbits) in enumerate(rungs):
        command += ["-map", f"[v{i}]", "-map", "0:a", *x264(kbits, None), f"{folder}/{height}p.ts"]
    return [command]


def cascade(clip, rungs, folder):
    """(b) Tuned by hand: each rung scaled from the next larger, one thread for each codec and filter."""
    graph, source = [], "0:v"
    for i, (height, _) in enumerate(rungs):
        last = i + 1 == len(rungs)
        graph.append(f"[{source}]scale={sized(height)}:flags=bicubic" + (f"[v{i}]" if last else f",split=2[v{i}][n{i}]"))
        source = f"n{i}"
    command = [FFMPEG, *HEAD, "-filter_complex_threads", "1", "-threads", "1", "-i", clip]
    command += ["-filter_complex", ";".join(graph), *copied(folder)]
    for i, (height, kbits) in enumerate(rungs):
        command += ["-map", f"[v{i}]", "-map", "0:a", *x264(kbits, 1), f"{folder}/{height}p.ts"]
    return [command]


def each(clip, rungs, folder):
    """(c) A process for each rung, as RTMP servers' exec lines start them."""
    return [
        [FFMPEG, *HEAD, "-i", clip, "-vf", f"scale={sized(height)}:flags=bicubic", *x264(kbits, None), f"{folder}/{height}p.ts"]
        for height, kbits in rungs
    ]


def quality(rung, clip):
    """VMAF, SSIM and PSNR of the luma: means over every SUBSAMPLE-th frame."""
    with tempfile.NamedTemporaryFile(suffix=".json") as log:
        graph = (
            "[0:v]scale=1920:1080:flags=bicubic,setpts=N/30/TB[a];[1:v]setpts=N/30/TB[b];[a][b]libvmaf="
            f"feature=name=psnr|name=float_ssim:n_subsample={SUBSAMPLE}:n_threads=2:log_fmt=json:log_path={log.name}"
        )
        command = [STATIC, "-nostdin", "-v", "fatal", "-i", rung, "-i", clip, "-lavfi", graph, "-f", "null", "-"]
        subprocess.run(command, check=True)
        pooled = json.load(open(log.name))["pooled_metrics"]
    return tuple(pooled[key]["mean"] for key in ("vmaf", "float_ssim", "psnr_y"))


def rate(rung):
    """kbit/s of the picture alone."""
    command = ["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "packet=size", "-of", "csv=p=0", rung]
    sizes = subprocess.run(command, check=True, capture_output=True, text=True).stdout.replace(",", "").split()
    return sum(map(int, sizes)) * 8 / (len(sizes) / 30) / 1000


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("clip")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--preset", default="auto")
    parser.add_argument("--rungs", default="720:3000,480:1400,360:800")
    args = parser.parse_args()
    rungs = [tuple(map(int, rung.split(":"))) for rung in args.rungs.split(",")]
    work = Path(tempfile.mkdtemp(prefix="ladder-"))
    ways = {
        "sluice": lambda folder: [[BENCH, "sluice", args.clip, args.rungs, args.preset, folder]],
        "(a) ffmpeg, split": lambda folder: split(args.clip, rungs, folder),
        "(b) ffmpeg, cascade, 1 thread": lambda folder: cascade(args.clip, rungs, folder),
        "(c) ffmpeg per rung": lambda folder: each(args.clip, rungs, folder),
    }
    try:
        measure(args, rungs, ways, work)
    finally:
        shutil.rmtree(work)


def measure(args, rungs, ways, work):
    took, floors = {name: [] for name in ways}, []
    for _ in range(args.runs):
        for name, commands in ways.items():
            folder = work / name.split()[0].strip("()")
            folder.mkdir(exist_ok=True)
            cpu, wall, peak, output = run(commands(str(folder)))
            if name == "sluice":
                ours = json.loads(output)
                seconds, peak = ours["seconds"] + 1 / 30, ours["peak_kib"] / 1024
            took[name].append((cpu, wall, peak))
        floors.append(json.loads(run([[BENCH, "floor", args.clip, args.rungs, args.preset]])[3]))
    cpu = {name: statistics.median(one[0] for one in each_run) / seconds for name, each_run in took.items()}
    wall = {name: statistics.median(one[1] for one in each_run) for name, each_run in took.items()}
    peak = {name: max(one[2] for one in each_run) for name, each_run in took.items()}

    print(f"\n## {Path(args.clip).stem}, preset {args.preset}, {args.runs} run(s)\n")
    print("| | CPU s / s | Sluice's share of it | × real time | peak MiB |\n|---|---|---|---|---|")
    for name in ways:
        share = "" if name == "sluice" else f"{cpu['sluice'] / cpu[name]:.2f}"
        print(f"| {name} | {cpu[name]:.3f} | {share} | {seconds / wall[name]:.2f} | {peak[name]:.0f} |")
    # The least floor beside our least run: both waver upwards only.
    total = lambda one: one["decode"] + sum(one["scale"]) + sum(one["encode"])
    floor, best = min(floors, key=total), min(one[0] for one in took["sluice"])
    parts = " + ".join(
        f"{value / seconds:.3f} {what}"
        for what, value in (("decode", floor["decode"]), ("scale", sum(floor["scale"])), ("encode", sum(floor["encode"])))
    )
    print(f"| (d) the floor: {parts} | {total(floor) / seconds:.3f} | {best / total(floor):.3f} | | |", flush=True)

    print("\n| rung | VMAF: Sluice | (a) | (b) | Sluice - (a) | SSIM: Sluice | (a) | PSNR: Sluice | (a) | kbit/s: Sluice | (a) |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for height, _ in rungs:
        paths = [str(work / way / f"{height}p.ts") for way in ("sluice", "a", "b")]
        ours, a, b = (quality(path, args.clip) for path in paths)
        print(
            f"| {height} | {ours[0]:.2f} | {a[0]:.2f} | {b[0]:.2f} | {ours[0] - a[0]:+.2f} | {ours[1]:.4f} | {a[1]:.4f} "
            f"| {ours[2]:.2f} | {a[2]:.2f} | {rate(paths[0]):.0f} | {rate(paths[1]):.0f} |",
            flush=True,
        )


main()
