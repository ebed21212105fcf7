#!/usr/bin/env bash
# Breaks one safeguard after the other and expects the simulation to turn red each time.
#
#   tests/mutations/run.sh                      all of them
#   tests/mutations/run.sh skip-the-fsync ...   these
#
# Every *.patch here is a mutation; its first line says what it breaks. The tree is copied, so yours stays as it is.
# HOOKLOG_SEEDS says how many seeds each one gets (60). Ends with 1 if a mutation stays green or no longer applies.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
cache=${HOOKLOG_CACHE:-$HOME/.cache/hooklog}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target}
export HOOKLOG_SEEDS=${HOOKLOG_SEEDS:-60}
unset HOOKLOG_SEED
work=$cache/mutations
tree=$work/tree
log=$work/log
test=seeds::no_seed_loses_a_delivery_or_does_anything_twice

mkdir -p "$log"
exec 9>"$work/lock"
flock 9
rm -rf "$tree"
mkdir -p "$tree"
(cd "$root" && git ls-files -z --cached --others --exclude-standard crates tests/simulation tests/mutations \
    Cargo.toml Cargo.lock rust-toolchain.toml clippy.toml src benches |
    while IFS= read -r -d '' file; do [[ -e $file ]] && printf '%s\0' "$file"; done |
    tar -c --null -T -) | tar -x -C "$tree"
cp "$tree/Cargo.lock" "$tree/tests/mutations/Cargo.lock"

names=("$@")
if [[ $# -eq 0 ]]; then
    for patch in "$here"/*.patch; do names+=("$(basename "$patch" .patch)"); done
fi

# What an earlier run built of a mutated file must not be taken for this one.
for patch in "$here"/*.patch; do
    sed -n 's|^--- a/||p' "$patch" | while read -r file; do touch "$tree/$file"; done
done

# Builds the simulation and finds its program; run by itself it waits for nobody's build.
build() {
    (cd "$tree/tests/mutations" && cargo test --test simulation --no-run --message-format=json) \
        >"$log/build.json" 2>"$log/build.txt" || {
        cat "$log/build.txt" >&2
        echo "$1 does not compile" >&2
        exit 1
    }
    program=$(sed -n 's|.*"name":"simulation".*"executable":"\([^"]*\)".*|\1|p' "$log/build.json" | tail -1)
}

simulate() {
    timeout 1800 "$program" --exact "$test" --nocapture >"$log/$1.txt" 2>&1
}

echo "building the simulation as it is" >&2
build "the tree as it is"
if ! simulate as-it-is; then
    tail -30 "$log/as-it-is.txt" >&2
    echo "the simulation is red without any mutation" >&2
    exit 1
fi

printf '%-38s %-6s %s\n' mutation seeds 'what shows it'
failed=0
for name in "${names[@]}"; do
    patch=$here/$name.patch
    if ! (cd "$tree" && git apply "$patch" 2>"$log/apply.txt"); then
        cat "$log/apply.txt" >&2
        printf '%-38s %-6s %s\n' "$name" - 'NO LONGER APPLIES'
        failed=1
        continue
    fi
    build "$name"
    if simulate "$name"; then
        printf '%-38s %-6s %s\n' "$name" 0 'STAYS GREEN'
        failed=1
    else
        red=$(grep -c '^seed [0-9]*: ' "$log/$name.txt" || true)
        first=$(grep -m1 '^seed [0-9]*: ' "$log/$name.txt" || echo 'it did not end')
        printf '%-38s %-6s %s\n' "$name" "$red" "$(cut -c1-150 <<<"$first")"
    fi
    (cd "$tree" && git apply --reverse "$patch")
done
exit $failed
