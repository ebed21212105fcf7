#!/usr/bin/env bash
# Builds the targets of the fuzzer and runs each for a while, on the stable toolchain.
# Usage: fuzz/run.sh [target…]; HOOKLOG_FUZZ_SECONDS says how long each may take (60).
# What it learns is kept in the cache, beside the corpus of the checkout; what it finds is named and makes it fail.
set -euo pipefail
cd "$(dirname "$0")"

seconds=${HOOKLOG_FUZZ_SECONDS:-60}
cache=${HOOKLOG_CACHE:-$HOME/.cache/hooklog}/fuzz
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
  for file in fuzz_targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
fi

# The fuzzer is told which branches ran, and what was compared with what. These are ordinary options of the compiler; with a
# target named, build scripts and macros are spared them.
RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
RUSTFLAGS+=" -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
export RUSTFLAGS
host=$(rustc -vV | sed -n 's/^host: //p')
export CARGO_TARGET_DIR=$cache/target
bins=()
for target in "${targets[@]}"; do bins+=(--bin "$target"); done
cargo build --release --locked --target "$host" "${bins[@]}"

found=()
for target in "${targets[@]}"; do
  learnt=$cache/corpus/$target
  findings=$cache/findings/$target/
  mkdir -p "$learnt" "$findings"
  printf '\n==> %s, for %s s\n' "$target" "$seconds"
  dictionary=()
  [ -e "dictionary/$target" ] && dictionary=(-dict="dictionary/$target")
  "$CARGO_TARGET_DIR/$host/release/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=16384 \
    -print_final_stats=1 -artifact_prefix="$findings" "${dictionary[@]}" "$learnt" "corpus/$target" 2>&1 |
    grep -v -E '^#[0-9]+\s+(NEW|REDUCE|pulse)|^\s+NEW_FUNC' || found+=("$target")
done

if [ ${#found[@]} -gt 0 ]; then
  echo "Found something: ${found[*]}. The input is in $cache/findings/<target>; copy it to fuzz/corpus/<target>, and" >&2
  echo "cargo test --test fuzz fails with it until it is mended." >&2
  exit 1
fi
