#!/usr/bin/env bash
# What it costs to take N copies of a 2 Mbit/s stream and serve them as HLS without encoding: Sluice beside nginx with
# libnginx-mod-rtmp, one after the other on the same machine, fed by the same publishers.
#   benches/ingest.sh [SECONDS] [STREAMS…]       needs: ffmpeg, nginx with libnginx-mod-rtmp, a release build
# Prints, for each number of streams, CPU (user + system, all processes of the server) and peak memory. Windows hold 20 s,
# so that they are full, and freeing has begun, before the measuring ends.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}; shift || true
counts=("$@"); [ ${#counts[@]} -gt 0 ] || counts=(1 10 50 100)
bin=${SLUICE_BIN:-target/release/sluice}
work=$(mktemp -d)
pids=()
cleanup() { for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done; wait 2>/dev/null || true; rm -rf "$work"; }
trap cleanup EXIT

ffmpeg -v error -y -f lavfi -i testsrc2=s=1280x720:r=30 -f lavfi -i sine=r=48000 -t 20 -c:v libx264 -preset veryfast \
  -b:v 1870k -minrate 1870k -maxrate 1870k -bufsize 1870k -x264-params nal-hrd=cbr -g 60 -keyint_min 60 -sc_threshold 0 \
  -c:a aac -b:a 128k -ac 2 "$work/clip.flv"

# Ticks of user and system time, and a field of /proc/PID/status in KiB, of a process and its children.
cpu_ticks() { local sum=0 t; for pid in $1 $(pgrep -P "$1" || true); do t=$(awk '{sub(/.*\) /,""); print $12+$13}' "/proc/$pid/stat" 2>/dev/null || echo 0); sum=$((sum + t)); done; echo "$sum"; }
status_kib() { local sum=0 r; for pid in $1 $(pgrep -P "$1" || true); do r=$(awk -v f="$2:" '$1==f{print $2}' "/proc/$pid/status" 2>/dev/null || echo 0); sum=$((sum + r)); done; echo "$sum"; }

# measure PID URL-PREFIX KEYS…   sets: ticks, peak (KiB), alive
measure() {
  local pid=$1 prefix=$2; shift 2
  local senders=() before after
  for key in "$@"; do
    ffmpeg -v error -re -stream_loop -1 -i "$work/clip.flv" -c copy -f flv "$prefix/$key" 2>>"$work/senders.log" &
    senders+=($!); pids+=($!)
    sleep 0.05
  done
  sleep 8 # all connected, first segments out
  before=$(cpu_ticks "$pid"); sleep "$seconds"; after=$(cpu_ticks "$pid")
  ticks=$((after - before)) peak=$(status_kib "$pid" VmHWM) alive=0
  for s in "${senders[@]}"; do kill -0 "$s" 2>/dev/null && alive=$((alive + 1)); done
  [ -z "${http:-}" ] || held=$(curl -s "http://$http/metrics" | awk '/^sluice_rendition_bytes_held/{s+=$2} END{printf "%d", s/1024}')
  for s in "${senders[@]}"; do kill "$s" 2>/dev/null || true; done
  wait "${senders[@]}" 2>/dev/null || true
}

module=$(find /usr/lib /usr/share -name ngx_rtmp_module.so 2>/dev/null | head -n 1)
mkdir -p "$work/hls"
cat >"$work/nginx.conf" <<N
load_module $module;
daemon off; worker_processes 1; pid $work/nginx.pid; error_log $work/nginx.log;
events { worker_connections 1024; }
rtmp { server { listen 127.0.0.1:19350; chunk_size 4096; application live { live on; hls on; hls_path $work/hls; hls_fragment 2s; hls_playlist_length 20s; } } }
N

hz=$(getconf CLK_TCK)
echo "| streams | nginx-rtmp core/stream | Sluice core/stream | ratio | nginx CPU s/stream-hour | Sluice CPU s/stream-hour | nginx peak MiB | Sluice peak MiB | … idle | … window | … beyond, per stream |"
echo "|---|---|---|---|---|---|---|---|---|---|---|"
for n in "${counts[@]}"; do
  mapfile -t names < <(seq -f 's%g' "$n")
  http=''
  nginx -c "$work/nginx.conf" -p "$work" 2>/dev/null & server=$!; pids+=("$server")
  sleep 1
  measure "$server" rtmp://127.0.0.1:19350/live "${names[@]}"
  kill "$server"; wait "$server" 2>/dev/null || true
  nginx_ticks=$ticks nginx_peak=$peak nginx_alive=$alive
  rm -rf "${work:?}/hls"/*

  data=$work/data-$n
  SLUICE_LADDER_MODE=off SLUICE_HLS_WINDOW=20s SLUICE_RTMP_MAX_PER_ADDRESS=1000 "$bin" serve --rtmp-listen 127.0.0.1:0 \
    --http-listen 127.0.0.1:0 --data-dir "$data" --ready-file "$work/ready-$n" >"$work/sluice.out" 2>"$work/sluice.log" &
  server=$!; pids+=("$server")
  until [ -s "$work/ready-$n" ]; do sleep 0.1; done
  rtmp=$(sed -E 's/.*"rtmp":"([^"]+)".*/\1/' "$work/ready-$n") http=$(sed -E 's/.*"http":"([^"]+)".*/\1/' "$work/ready-$n")
  keys=(); for name in "${names[@]}"; do keys+=("$("$bin" keys add "$name" --data-dir "$data" | tail -n 1)"); done
  idle=$(status_kib "$server" VmRSS) held=0
  measure "$server" "rtmp://$rtmp/live" "${keys[@]}"
  kill "$server"; wait "$server" 2>/dev/null || true
  [ "$alive" = "$n" ] && [ "$nginx_alive" = "$n" ] || echo "only $nginx_alive and $alive of $n streams lived" >&2
  awk -v n="$n" -v d="$seconds" -v hz="$hz" -v a="$nginx_ticks" -v b="$ticks" -v pa="$nginx_peak" -v pb="$peak" -v i="$idle" -v h="$held" 'BEGIN{
    ca=a/hz/n/d; cb=b/hz/n/d
    printf "| %d | %.5f | %.5f | %.2f | %.2f | %.2f | %.0f | %.0f | %.0f | %.0f | %.2f MiB |\n", n, ca, cb, cb/ca, ca*3600, cb*3600, pa/1024, pb/1024, i/1024, h/1024, (pb-i-h)/1024/n}'
done
