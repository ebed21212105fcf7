#!/usr/bin/env bash
# What a stranger does: a fresh clone, empty caches, `make run`, the curl of the README word for word, `make test`.
#
# Everything that could help is out of reach: HOME, the caches of cargo, pip, npm and Hooklog are empty folders. What stays
# is what a machine has: the tools in PATH, the Rust toolchain (RUSTUP_HOME), and the settings (not the caches) that say
# where this machine fetches packages from. It takes port 3000, as the README does.
# Usage: tests/drill/fresh-clone.sh [--keep]   (HOOKLOG_DRILL_TEST=0 leaves `make test` out)
set -euo pipefail
origin=$(cd "$(dirname "$0")/../.." && pwd)
place=$(mktemp -d "${TMPDIR:-/tmp}/hooklog-stranger.XXXXXX")
keep=${1:-}
server=
say() { printf '\n### %s [%s s]\n' "$1" "$SECONDS"; }
finish() {
  if [ -n "$server" ]; then kill -TERM "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; fi
  if [ "$keep" = --keep ]; then echo "Kept: $place"; else rm -rf "$place"; fi
}
trap finish EXIT

if curl -s -o /dev/null http://127.0.0.1:3000/health; then
  echo "Something listens on port 3000 already; the README uses it. Stop it first." >&2
  exit 1
fi

say "A fresh clone of $(git -C "$origin" rev-parse --short HEAD)"
git clone -q "$origin" "$place/hooklog"

home=$place/home
mkdir -p "$home/.cargo" "$home/.config/pip" "$home/.pip"
old=${HOME:?}
for settings in .cargo/config.toml .npmrc .config/pip/pip.conf .pip/pip.conf .gitconfig; do
  if [ -f "$old/$settings" ]; then cp "$old/$settings" "$home/$settings"; fi
done
export RUSTUP_HOME=${RUSTUP_HOME:-$old/.rustup}
if [ -f "${CARGO_HOME:-$old/.cargo}/config.toml" ]; then cp "${CARGO_HOME:-$old/.cargo}/config.toml" "$home/.cargo/"; fi
export HOME=$home CARGO_HOME=$home/.cargo PATH=$PATH:$old/.cargo/bin
export XDG_CACHE_HOME=$home/.cache npm_config_cache=$home/.npm PIP_NO_CACHE_DIR=1
for name in $(compgen -e | grep -E '^(HOOKLOG_|WEBHOOK_|GITHUB_WEBHOOK|CARGO_TARGET_DIR|MAKE)' || true); do unset "$name"; done
cd "$place/hooklog"

say "make run"
make run >"$place/run.log" 2>&1 &
server=$!
begin=$SECONDS
until curl -sf -o /dev/null http://127.0.0.1:3000/ready; do
  if ! kill -0 "$server" 2>/dev/null; then
    tail -40 "$place/run.log" >&2
    echo "make run ended before it was ready" >&2
    exit 1
  fi
  if [ $((SECONDS - begin)) -gt 3600 ]; then echo "make run was not ready within an hour" >&2; exit 1; fi
  sleep 1
done
grep -E '^==>' "$place/run.log"
say "Ready after $((SECONDS - begin)) s; the first delivery of the README, word for word"
# The block of the README that signs.
awk '/^```sh$/ { block = ""; inside = 1; next } /^```$/ { if (inside && block ~ /X-Hub-Signature-256/) { printf "%s", block; exit } inside = 0 } inside { block = block $0 "\n" }' \
  README.md >"$place/first-delivery.sh"
answer=$(bash -euo pipefail "$place/first-delivery.sh")
echo "$answer"
case $answer in *'"success":true'*'"duplicate":false'*) ;; *) echo "the first delivery was not taken" >&2; exit 1 ;; esac
answer=$(bash -euo pipefail "$place/first-delivery.sh")
case $answer in *'"duplicate":true'*) ;; *) echo "the repeat was not recognised: $answer" >&2; exit 1 ;; esac
begin=$SECONDS
until curl -sf http://127.0.0.1:3000/api/webhooks/statistics | grep -q '"totalEvents":1[,}]'; do
  if [ $((SECONDS - begin)) -gt 60 ]; then echo "the statistics never counted it" >&2; exit 1; fi
  sleep 1
done
grep '^curl -sS http' README.md | grep -v '\\$' | while IFS= read -r line; do
  echo "\$ $line"
  bash -c "$line" | head -c 300
  echo
done

say "Stopping"
kill -TERM "$server"
wait "$server" || true
server=

if [ "${HOOKLOG_DRILL_TEST:-1}" != 0 ]; then
  say "make test"
  make test 2>&1 | tee "$place/test.log" | grep -E '^(==>|     Summary|test result|error)' || true
  grep -qE 'tests? run: .* passed|test result: ok' "$place/test.log"
  if grep -qE '[1-9][0-9]* (failed|timed out)' "$place/test.log"; then echo "make test is red" >&2; exit 1; fi
fi
say "A stranger would be content"
