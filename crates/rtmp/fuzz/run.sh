#!/usr/bin/env bash
# Fuzzes every target in turn, from the captures on, and tells what came of it as a table.
#
#   run.sh SECONDS_PER_TARGET [TARGET...]
#
# Needs cargo-fuzz (cargo install cargo-fuzz). Corpus and findings go to the folders beside this script. CARGO_TARGET_DIR is
# used if set. Exit code 1: a target crashed, ran out of time or memory on an input; the input is in artifacts/TARGET/.
set -euo pipefail

seconds=${1:?"usage: run.sh SECONDS_PER_TARGET [TARGET...]"}
shift
here=$(cd "$(dirname "$0")" && pwd)
crate=$(dirname "$here")
build=${CARGO_TARGET_DIR:-$here/target}
targets=("$@")
[ $# -gt 0 ] || mapfile -t targets < <(sed -n 's|^path = "fuzz_targets/\(.*\)\.rs"|\1|p' "$here/Cargo.toml")

cargo run --quiet --manifest-path "$crate/Cargo.toml" --features fuzzing --example seeds -- "$here/corpus"
# A stable compiler builds them with the key to its unstable flags; the address sanitizer would want a nightly library,
# and there is no unsafe code here for it to watch.
(cd "$crate" && RUSTC_BOOTSTRAP=1 cargo fuzz build --sanitizer none --target-dir "$build/fuzz")
binaries=$(dirname "$(find "$build/fuzz" -path '*/release/*' -name "${targets[0]}" -type f -perm -u+x | head -1)")

log=$(mktemp)
trap 'rm -f "$log"' EXIT
TIMEFORMAT='%U %S'
failed=0 total=0
printf '%-12s %12s %12s %10s  %s\n' target executions CPU-seconds corpus result
for target in "${targets[@]}"; do
    mkdir -p "$here/corpus/$target" "$here/artifacts/$target"
    result=ok
    cpu=$({ time "$binaries/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
        -verbosity=0 -artifact_prefix="$here/artifacts/$target/" "$here/corpus/$target" >"$log" 2>&1; } 2>&1) || result=CRASH
    cpu=$(tail -1 <<<"$cpu" | awk '{ printf "%.1f", $1 + $2 }')
    executed=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    printf '%-12s %12s %12s %10s  %s\n' "$target" "${executed:-?}" "$cpu" "$(find "$here/corpus/$target" -type f | wc -l)" "$result"
    total=$(awk -v a="$total" -v b="$cpu" 'BEGIN { printf "%.1f", a + b }')
    if [ "$result" != ok ]; then
        failed=1
        grep -E "panicked|SUMMARY|ERROR|artifact|^thread" -A2 "$log" | head -20 | sed 's/^/    /' || true
    fi
done
awk -v t="$total" -v n="${#targets[@]}" 'BEGIN { printf "%d targets, %.1f CPU minutes\n", n, t / 60 }'
exit $failed
