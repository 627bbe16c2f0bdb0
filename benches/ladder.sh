#!/usr/bin/env bash
# The ladder 1080 (copied) + 720 + 480 + 360 of several clips through Sluice's worker, beside FFmpeg's command line making the
# same rungs at the same rates with veryfast, and beside the same work alone: CPU, memory, and quality by VMAF, SSIM, PSNR.
#   benches/ladder.sh [SECONDS] [KIND…]      needs: ffmpeg, scripts/install-deps test (for VMAF), and benches/ladder/clips.sh's
# RUNS (3) times the natural clip, once the others; about ten minutes on two free cores with what is preset.
# PRESET (auto) is ladder.preset: economy, auto, quality or one of x264's own.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-12}; shift || true
kinds=("$@"); [ ${#kinds[@]} -gt 0 ] || kinds=(natural pan graphics motion noise text still)
benches/ladder/clips.sh "$seconds" "${kinds[@]}"
if [ -z "${LADDER_BENCH:-}" ]; then
  cargo build --quiet --release --locked -p ladder-bench
  LADDER_BENCH=${CARGO_TARGET_DIR:-target}/release/ladder-bench
fi
export LADDER_BENCH
runs=${RUNS:-3}
for kind in "${kinds[@]}"; do
  python3 benches/ladder/compare.py "target/bench-clips/$kind-$seconds.mp4" --runs "$([ "$kind" = natural ] && echo "$runs" || echo 1)" \
    --preset "${PRESET:-auto}"
done
