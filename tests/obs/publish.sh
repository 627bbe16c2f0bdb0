#!/bin/sh
# Publishes from a real OBS Studio under a virtual display, as a streamer would: x264, 1280x720 at 30 fps.
#
#   publish.sh SERVER KEY [--keyint SECONDS] [--seconds N] [--bitrate KBPS] [--dir DIR] [--record]
#
#   SERVER     rtmp://HOST:PORT/live, as typed into Settings > Stream > Custom > Server
#   KEY        the stream key
#   --keyint   keyframe interval in seconds; 0 is OBS's default, "auto", which x264 makes 250 frames
#   --seconds  how long to stream (60); OBS is then asked to stop, which ends the publication cleanly
#   --bitrate  video kbit/s (2500, OBS's default)
#   --dir      where OBS's home and log go (a new temporary directory, removed at the end)
#   --record   keep what is sent in DIR/recording too, as OBS's own recording of the streamed packets
#
# Exit code 0: OBS connected and streamed until told to stop. 3: it never connected or gave up; its log is printed.
# Needs: obs-studio xvfb ffmpeg (for the clip that OBS plays), and a software OpenGL (libgl1-mesa-dri).
set -eu

[ $# -ge 2 ] || { sed -n '2,15p' "$0" >&2; exit 64; }
server=$1 key=$2
shift 2
keyint=0 seconds=60 bitrate=2500 dir= record=
while [ $# -gt 0 ]; do
    case $1 in
        --record) record=--startrecording; shift; continue ;;
        --keyint) keyint=$2 ;;
        --seconds) seconds=$2 ;;
        --bitrate) bitrate=$2 ;;
        --dir) dir=$2 ;;
        *) echo "publish.sh: unknown option $1" >&2; exit 64 ;;
    esac
    shift 2
done
for tool in obs Xvfb ffmpeg; do
    command -v "$tool" >/dev/null || { echo "publish.sh: $tool is not installed" >&2; exit 69; }
done

keep=yes
[ -n "$dir" ] || { dir=$(mktemp -d) keep=no; }
mkdir -p "$dir"
here=$(cd "$(dirname "$0")" && pwd)
obs= xvfb=
finish() {
    code=$?
    trap - EXIT INT TERM
    # OBS first, by the signal it takes as "quit"; what does not heed it is killed.
    for pid in $obs $xvfb; do
        kill -INT "$pid" 2>/dev/null || continue
        n=0
        while kill -0 "$pid" 2>/dev/null && [ $n -lt 150 ]; do n=$((n + 1)); sleep 0.1; done
        kill -9 "$pid" 2>/dev/null || true
    done
    [ $keep = yes ] || rm -rf "$dir"
    exit $code
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

"$here/configure.sh" "$dir" "$server" "$key" "$keyint" "$bitrate"

# -displayfd lets the server choose a free display and say which.
Xvfb -displayfd 3 -screen 0 1280x800x24 -nolisten tcp 3>"$dir/display" >"$dir/xvfb.log" 2>&1 &
xvfb=$!
n=0
until [ -s "$dir/display" ]; do
    n=$((n + 1))
    [ $n -lt 100 ] && kill -0 $xvfb || { echo "publish.sh: Xvfb did not start" >&2; cat "$dir/xvfb.log" >&2; exit 70; }
    sleep 0.1
done
DISPLAY=:$(cat "$dir/display")
export DISPLAY
export HOME="$dir/home" XDG_CONFIG_HOME="$dir/home/.config" XDG_RUNTIME_DIR="$dir/run"
export LIBGL_ALWAYS_SOFTWARE=1 QT_QPA_PLATFORM=xcb PULSE_SERVER=none NO_AT_BRIDGE=1
mkdir -p "$XDG_RUNTIME_DIR"
chmod 700 "$XDG_RUNTIME_DIR"

# shellcheck disable=SC2086
obs --startstreaming $record --minimize-to-tray --multi --disable-updater --disable-missing-files-check \
    --profile sluice --collection sluice --scene sluice --verbose >"$dir/obs.log" 2>&1 &
obs=$!

# Connected, and then not given up, is told by the log.
n=0
until grep -q "Streaming Start" "$dir/obs.log"; do
    n=$((n + 1))
    if [ $n -ge 300 ] || ! kill -0 $obs 2>/dev/null; then
        echo "publish.sh: OBS did not start streaming" >&2
        cat "$dir/obs.log" >&2
        exit 3
    fi
    sleep 0.1
done
echo "publish.sh: OBS streams"
n=0
while [ $n -lt $((seconds * 10)) ]; do
    n=$((n + 1))
    kill -0 $obs 2>/dev/null || { echo "publish.sh: OBS ended early" >&2; cat "$dir/obs.log" >&2; exit 3; }
    if grep -q "Streaming Stop" "$dir/obs.log"; then
        echo "publish.sh: OBS stopped streaming by itself" >&2
        grep -iE "rtmp|error|fail|connect|Streaming" "$dir/obs.log" >&2
        exit 3
    fi
    sleep 0.1
done
grep -iE "dropped|lagged|Output 'simple_stream|total frames" "$dir/obs.log" | tail -5 || true
echo "publish.sh: done"
