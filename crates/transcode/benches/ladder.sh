#!/bin/sh
# Ladder beside FFmpeg's command line: CPU, speed and memory for a 1080p30 and a 720p30 clip of SECONDS (20).
# usage: crates/transcode/benches/ladder.sh [SECONDS]      needs: cargo, ffmpeg
set -eu
cd "$(dirname "$0")/../../.."
seconds=${1:-20}
clips=$(mktemp -d)
trap 'rm -rf "$clips"' EXIT
cargo build -q --release -p transcode --example ladder_bench
bench=${CARGO_TARGET_DIR:-target}/release/examples/ladder_bench

# A test picture with a moving inlay of fine detail, under grain: about as hard to encode as a game.
clip() {
    ffmpeg -nostdin -loglevel error -y \
        -f lavfi -i "testsrc2=size=$1:rate=30" -f lavfi -i "cellauto=size=480x270:rate=30:rule=110" \
        -f lavfi -i "sine=frequency=440:sample_rate=48000" -filter_complex \
        "[1]scale=960:540[c];[0][c]overlay=x='mod(60*t,W-w)':y='(H-h)/2*(1+sin(t))',noise=alls=8:allf=t,format=yuv420p[v]" \
        -map "[v]" -map 2:a -t "$seconds" -c:v libx264 -preset veryfast -b:v "$2" -maxrate "$2" -bufsize "$2" \
        -g 60 -keyint_min 60 -sc_threshold 0 -c:a aac -ac 2 "$3"
}
clip 1920x1080 6M "$clips/1080p30.mp4"
clip 1280x720 4M "$clips/720p30.mp4"
"$bench" "$clips/1080p30.mp4" 720:3000,480:1400,360:800
"$bench" "$clips/720p30.mp4" 720:3000,480:1400,360:800
