#!/usr/bin/env bash
# Checks licences, sources and banned crates of all dependencies (deny.toml), and known advisories where their database can be
# reached. Installs the pinned cargo-deny into the cache first, which takes some minutes, unless there is one on the PATH.
set -euo pipefail
cd "$(dirname "$0")/.."

version=0.20.2
cache=${HOOKLOG_CACHE:-$HOME/.cache/hooklog}/cargo-deny-$version
deny=$(command -v cargo-deny || echo "$cache/bin/cargo-deny")
if [ ! -x "$deny" ]; then
  echo "Installing cargo-deny $version into $cache" >&2
  CARGO_TARGET_DIR=$cache/target cargo install --locked --quiet "cargo-deny@$version" --root "$cache"
  rm -rf "$cache/target"
fi

for workspace in . fuzz; do
  "$deny" --locked --config deny.toml --manifest-path "$workspace/Cargo.toml" check --hide-inclusion-graph bans licenses sources
done
if "$deny" --locked --config deny.toml fetch db 2>/dev/null; then
  "$deny" --locked --config deny.toml check advisories
else
  echo "Advisories were not checked: their database can't be reached from here." >&2
fi
