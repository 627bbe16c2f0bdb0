#!/usr/bin/env bash
# Makes the captures anew: starts a gateway, and each client in turn against a recorder in front of it.
#
#   make.sh [NAME...]        # all, or those named
#
# Needs ffmpeg, gst-launch-1.0 with rtmp and rtmp2 sinks, rtmpdump, OBS with what tests/obs/publish.sh needs, and a current
# FFmpeg for Enhanced RTMP as FFMPEG_NEW (default: that of the Python package imageio-ffmpeg). What is missing is left out
# and said so. RTMPE is not recorded: its bytes mean nothing without the keys of that one connection.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
wanted=("$@")

cd "$root"
cargo build --quiet -p gateway
cargo build --quiet -p rtmp --example record
built=${CARGO_TARGET_DIR:-$root/target}/debug
new=${FFMPEG_NEW:-$(python3 -c 'import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())' 2>/dev/null || true)}

work=$(mktemp -d)
gateway=
finish() {
    [ -z "$gateway" ] || { kill "$gateway" 2>/dev/null && wait "$gateway" 2>/dev/null || true; }
    rm -rf "$work"
}
trap finish EXIT
cat >"$work/sluice.toml" <<TOML
[[publish.rule]]
address = ["127.0.0.0/8"]
TOML
"$built/sluice" serve --config "$work/sluice.toml" --rtmp-listen 127.0.0.1:0 --http-listen 127.0.0.1:0 \
    --data-dir "$work/data" --ready-file "$work/ready" >"$work/gateway.log" 2>&1 &
gateway=$!
for _ in $(seq 100); do [ -s "$work/ready" ] && break; sleep 0.1; done
server=$(sed 's/.*"rtmp" *: *"\([^"]*\)".*/\1/' "$work/ready" | head -1)

# record NAME COMMAND...: runs COMMAND with SERVER in it replaced by the recorder's address.
record() {
    local name=$1 recorder address
    shift
    if [ ${#wanted[@]} -gt 0 ] && ! printf '%s\n' "${wanted[@]}" | grep -qx "$name"; then return; fi
    if ! command -v "$1" >/dev/null; then echo "$name: left out, ${1:-a current FFmpeg} is not here"; return; fi
    # A file, not a pipe: the recorder outlives its first line.
    "$built/examples/record" "$server" "$work/capture" >"$work/address" 2>/dev/null &
    recorder=$!
    for _ in $(seq 50); do [ -s "$work/address" ] && break; sleep 0.1; done
    address=$(cat "$work/address")
    timeout 90 "${@//SERVER/$address}" >"$work/$name.log" 2>&1 || true
    for _ in $(seq 50); do kill -0 $recorder 2>/dev/null || break; sleep 0.1; done
    kill $recorder 2>/dev/null || true
    wait $recorder 2>/dev/null || true
    if [ ! -s "$work/capture" ]; then echo "$name: nothing came"; tail -5 "$work/$name.log"; return; fi
    mv "$work/capture" "$here/$name.rtmp"
    echo "$name: $(stat -c %s "$here/$name.rtmp") bytes"
}

picture=(-re -f lavfi -i testsrc2=s=320x180:r=30) tone=(-f lavfi -i sine=r=48000)
h264=(-c:v libx264 -bf 2 -g 30 -b:v 200k) aac=(-c:a aac -b:a 64k)
flv="flvmux streamable=true name=m"
gst_picture="videotestsrc num-buffers=120 is-live=true ! video/x-raw,format=I420,width=320,height=180,framerate=30/1"
gst_h264="$gst_picture ! x264enc tune=zerolatency bitrate=200 key-int-max=30"
gst_aac="audiotestsrc num-buffers=180 is-live=true ! audio/x-raw,rate=48000 ! avenc_aac bitrate=64000"

record ffmpeg-5.1.9 ffmpeg "${picture[@]}" "${tone[@]}" "${h264[@]}" "${aac[@]}" -t 4 -f flv "rtmp://SERVER/live/key?tok=1"
# Extended timestamps from the first frame on, also as deltas and on continuation chunks.
record ffmpeg-5.1.9-late-start ffmpeg "${picture[@]}" "${tone[@]}" -c:v libx264 -preset ultrafast -g 30 -b:v 600k "${aac[@]}" \
    -t 4 -output_ts_offset 20000 -f flv rtmp://SERVER/live/key
# shellcheck disable=SC2086 # the pipelines are lists of words
record gstreamer-1.22-rtmp2sink gst-launch-1.0 $gst_h264 ! $flv $gst_aac ! m. m. ! rtmp2sink location=rtmp://SERVER/live/key
# shellcheck disable=SC2086
record gstreamer-1.22-rtmpsink gst-launch-1.0 $gst_h264 ! $flv $gst_aac ! m. m. ! rtmpsink location=rtmp://SERVER/live/key
record obs-29.0 "$root/tests/obs/publish.sh" rtmp://SERVER/live key --keyint 1 --seconds 5 --bitrate 300
record ffmpeg-9.0-hevc-opus "$new" "${picture[@]}" "${tone[@]}" -c:v libx265 -preset ultrafast \
    -x265-params keyint=30:log-level=none -b:v 200k -c:a libopus -b:a 64k -t 4 -f flv rtmp://SERVER/live/key
record ffmpeg-9.0-av1-flac "$new" "${picture[@]}" "${tone[@]}" -c:v libsvtav1 -preset 12 -svtav1-params keyint=30 -b:v 200k \
    -c:a flac -strict -2 -t 4 -f flv rtmp://SERVER/live/key
record ffmpeg-9.0-vp9-eac3 "$new" "${picture[@]}" "${tone[@]}" -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 30 -b:v 200k \
    -c:a eac3 -b:a 64k -t 4 -f flv rtmp://SERVER/live/key
record ffmpeg-9.0-multitrack "$new" "${picture[@]}" "${tone[@]}" -f lavfi -i sine=r=48000:f=880 \
    -filter_complex "[0:v]split[a][b];[b]scale=160:90[c]" -map "[a]" -map "[c]" -map 1:a -map 2:a "${h264[@]}" "${aac[@]}" \
    -t 4 -f flv rtmp://SERVER/live/key

# Players need something to play.
ffmpeg -v error "${picture[@]}" "${tone[@]}" "${h264[@]}" "${aac[@]}" -t 60 -f flv "rtmp://$server/live/played" &
publisher=$!
sleep 5
record rtmpdump-2.4-play rtmpdump --quiet --live --stop 4 --rtmp rtmp://SERVER/live/played --flv /dev/null
record ffmpeg-5.1.9-play ffmpeg -v error -t 4 -i rtmp://SERVER/live/played -c copy -f null -
kill $publisher 2>/dev/null || true
wait $publisher 2>/dev/null || true
