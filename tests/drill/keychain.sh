#!/usr/bin/env bash
# The key of secrets in the keychain of a desktop: a session bus of its own, GNOME Keyring, and a build with `--features keychain`.
#
# A source is added, a delivery signed by openssl is taken, the server restarts and still opens the secret; the key is in the keychain and in
# no file. Without the entry the source is answered 503, as a key that is missing is no wrong signature. Without a session the
# server says why it does not start.
# Usage: tests/drill/keychain.sh [PROGRAM]   (PROGRAM: a hooklog with the feature, instead of building one)
set -euo pipefail
self=$(realpath "$0")
cd "$(dirname "$self")/../.."
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-${HOOKLOG_CACHE:-$HOME/.cache/hooklog}/target}

if [ "${1:-}" = --in-session ]; then
  program=$2 place=$3
  service=hooklog-drill-$$
  printf 'drill' | gnome-keyring-daemon --unlock --components=secrets >"$place/keyring.log" 2>&1
  printf '[secrets]\nkeychain = "%s"\n' "$service" >"$place/hooklog.toml"
  server=
  stop() { if [ -n "$server" ]; then kill -TERM "$server" 2>/dev/null || true; wait "$server" || true; server=; fi; }
  trap stop EXIT
  cd "$place"

  start() {
    "$program" serve --config hooklog.toml --data-dir data --port 0 --roles ingest,query >serve.log 2>&1 &
    server=$!
    for _ in $(seq 600); do
      base=$(grep -oE 'http://127\.0\.0\.1:[0-9]+' serve.log | head -1 || true)
      if [ -n "$base" ] && curl -sf -o /dev/null "$base/health"; then return 0; fi
      if ! kill -0 "$server" 2>/dev/null; then return 1; fi
      sleep 0.1
    done
    return 1
  }
  hub() { "$program" source "$@" --config hooklog.toml --data-dir data; }
  deliver() { # the id of the delivery -> the status code
    local body='{"zen":"Keep it logically awesome.","repository":{"full_name":"octo-org/octo-repo"}}' proof
    proof=$(printf %s "$body" | openssl dgst -sha256 -hmac "$(cat secret)" | sed 's/^.*= //')
    curl -sS -o answer.json -w '%{http_code}' "$base/api/webhooks/hub" -H 'Content-Type: application/json' -H 'X-GitHub-Event: ping' \
      -H 'X-GitHub-Hook-ID: 1' -H "X-GitHub-Delivery: $1" -H "X-Hub-Signature-256: sha256=$proof" --data-binary "$body"
  }
  # A source that was read from the log a moment ago may be opened a moment later.
  expect() { # status, id
    for _ in $(seq 100); do
      code=$(deliver "$2")
      if [ "$code" = "$1" ]; then echo "  $2: $code, as it should be"; return 0; fi
      sleep 0.1
    done
    echo "$2 was answered $code instead of $1: $(cat answer.json)" >&2
    exit 1
  }

  echo "==> A source whose secret is encrypted by the key in the keychain"
  start || { cat serve.log >&2; exit 1; }
  hub add hub --scheme github >secret
  expect 200 72d3162e-cc78-11e3-81ab-000000000001
  stop
  echo "==> The key is in the keychain, and in no file"
  key=$(secret-tool lookup service "$service" username 'master key')
  if [ "${#key}" != 64 ]; then echo "the keychain holds no key of 32 bytes" >&2; exit 1; fi
  if [ -e data/secrets/master.key ] || grep -rqF "$key" data serve.log; then echo "the key is in a file" >&2; exit 1; fi
  if grep -rqF "$(cat secret)" data serve.log; then echo "the secret is in a file" >&2; exit 1; fi
  echo "==> A restart opens the secret again"
  start || { cat serve.log >&2; exit 1; }
  expect 200 72d3162e-cc78-11e3-81ab-000000000002
  stop
  echo "==> Without the entry (a new key is made): 503, not 401"
  secret-tool clear service "$service" username 'master key'
  start || { cat serve.log >&2; exit 1; }
  expect 503 72d3162e-cc78-11e3-81ab-000000000003
  stop
  echo "==> Without a session: it says why it does not start"
  if DBUS_SESSION_BUS_ADDRESS=unix:path=/nowhere "$program" serve --config hooklog.toml --data-dir data --port 0 --roles ingest >none.log 2>&1; then
    echo "it started without a keychain" >&2
    exit 1
  fi
  grep -q 'secrets.keychain' none.log || { cat none.log >&2; exit 1; }
  tail -3 none.log
  secret-tool clear service "$service" username 'master key'
  echo "==> The keychain holds"
  exit 0
fi

for tool in dbus-run-session gnome-keyring-daemon secret-tool openssl curl; do
  command -v "$tool" >/dev/null || {
    echo "$tool is missing. Debian, Ubuntu: sudo apt-get install dbus gnome-keyring libsecret-tools openssl curl" >&2
    exit 1
  }
done
place=$(mktemp -d "${TMPDIR:-/tmp}/hooklog-keychain.XXXXXX")
trap 'rm -rf "$place"' EXIT
program=${1:-}
if [ -z "$program" ]; then
  cargo build --locked --bin hooklog --features keychain
  # The next build puts another program into its place.
  cp "$CARGO_TARGET_DIR/debug/hooklog" "$place/hooklog"
  program=$place/hooklog
fi
mkdir -p "$place/home"
HOME=$place/home XDG_DATA_HOME=$place/home/.local/share dbus-run-session -- "$self" --in-session "$(realpath "$program")" "$place"
