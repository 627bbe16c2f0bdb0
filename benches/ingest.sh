#!/usr/bin/env bash
# What it costs to take N copies of a 2 Mbit/s stream and serve them as HLS without encoding: Sluice beside nginx with
# libnginx-mod-rtmp, one after the other on the same machine, fed by the same publishers.
#   benches/ingest.sh [STREAMS] [SECONDS]        needs: ffmpeg, nginx with libnginx-mod-rtmp, a release build
# Prints CPU seconds (user + system, all processes of the server) per stream-minute, and memory.
set -euo pipefail
cd "$(dirname "$0")/.."
streams=${1:-20} seconds=${2:-60}
bin=${SLUICE_BIN:-target/release/sluice}
work=$(mktemp -d)
pids=()
cleanup() { for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done; wait 2>/dev/null || true; rm -rf "$work"; }
trap cleanup EXIT

ffmpeg -v error -y -f lavfi -i testsrc2=s=1280x720:r=30 -f lavfi -i sine=r=48000 -t 20 -c:v libx264 -preset veryfast \
  -b:v 1870k -minrate 1870k -maxrate 1870k -bufsize 1870k -x264-params nal-hrd=cbr -g 60 -keyint_min 60 -sc_threshold 0 \
  -c:a aac -b:a 128k -ac 2 "$work/clip.flv"

# ticks of user and system time, and resident KiB, of a process and its children
cpu_ticks() { local sum=0 t; for pid in $1 $(pgrep -P "$1" || true); do t=$(awk '{sub(/.*\) /,""); print $12+$13}' "/proc/$pid/stat" 2>/dev/null || echo 0); sum=$((sum + t)); done; echo "$sum"; }
rss_kib() { local sum=0 r; for pid in $1 $(pgrep -P "$1" || true); do r=$(awk '/^VmRSS/{print $2}' "/proc/$pid/status" 2>/dev/null || echo 0); sum=$((sum + r)); done; echo "$sum"; }

measure() { # NAME PID URL-PREFIX KEYS…
  local name=$1 pid=$2 prefix=$3; shift 3
  local senders=()
  for key in "$@"; do
    ffmpeg -v error -re -stream_loop -1 -i "$work/clip.flv" -c copy -f flv "$prefix/$key" 2>>"$work/senders.log" &
    senders+=($!); pids+=($!)
  done
  sleep 8 # all connected, first segments out
  local before after
  before=$(cpu_ticks "$pid"); sleep "$seconds"; after=$(cpu_ticks "$pid")
  local rss; rss=$(rss_kib "$pid")
  local alive=0; for s in "${senders[@]}"; do kill -0 "$s" 2>/dev/null && alive=$((alive + 1)); done
  for s in "${senders[@]}"; do kill "$s" 2>/dev/null || true; done
  wait "${senders[@]}" 2>/dev/null || true
  awk -v n="$name" -v t=$((after - before)) -v hz="$(getconf CLK_TCK)" -v s="$streams" -v d="$seconds" -v r="$rss" -v a="$alive" 'BEGIN{
    printf "%-8s %d of %d streams alive  %.4f CPU s per stream-minute (%.5f core per stream)  %.1f MiB resident\n", n, a, s, t/hz/s*60/d, t/hz/s/d, r/1024}'
}

# nginx
mkdir -p "$work/hls"
module=$(find /usr/lib /usr/share -name ngx_rtmp_module.so 2>/dev/null | head -n 1)
cat >"$work/nginx.conf" <<N
load_module $module;
daemon off; worker_processes 1; pid $work/nginx.pid; error_log $work/nginx.log;
events { worker_connections 1024; }
rtmp { server { listen 127.0.0.1:19350; chunk_size 4096; application live { live on; hls on; hls_path $work/hls; hls_fragment 2s; hls_playlist_length 120s; } } }
N
nginx -c "$work/nginx.conf" -p "$work" 2>/dev/null & nginx=$!; pids+=("$nginx")
sleep 1
mapfile -t names < <(seq -f 's%g' "$streams")
measure nginx "$nginx" rtmp://127.0.0.1:19350/live "${names[@]}"
kill "$nginx"; wait "$nginx" 2>/dev/null || true

# Sluice
SLUICE_LADDER_MODE=off "$bin" serve --rtmp-listen 127.0.0.1:0 --http-listen 127.0.0.1:0 --data-dir "$work/data" \
  --ready-file "$work/ready" >"$work/sluice.out" 2>"$work/sluice.log" & sluice=$!; pids+=("$sluice")
until [ -s "$work/ready" ]; do sleep 0.1; done
port=$(sed -E 's/.*"rtmp":"([^"]+)".*/\1/' "$work/ready")
keys=(); for name in "${names[@]}"; do keys+=("$("$bin" keys add "$name" --data-dir "$work/data" | tail -n 1)"); done
measure sluice "$sluice" "rtmp://$port/live" "${keys[@]}"
