#!/usr/bin/env bash
# Installs the test tools into the cache, once per content of the requirement files, and prints their folder.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${HOOKLOG_CACHE:-$HOME/.cache/hooklog}/test-tools
key=$(cat "$here/requirements.txt" "$here/package-lock.json" "$here/setup.sh" | openssl dgst -sha256 -r | cut -c1-16)
tools=$cache/$key

if [ ! -e "$tools/complete" ]; then
  mkdir -p "$cache"
  # Tests run in parallel processes: one installs, the others wait for it.
  exec 9>"$cache/lock"
  if command -v flock >/dev/null; then flock 9; fi
  if [ ! -e "$tools/complete" ]; then
    echo "Installing the test tools into $tools" >&2
    rm -rf "$tools"
    mkdir -p "$tools"
    python3 -m venv "$tools/venv" >&2
    "$tools/venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$here/requirements.txt" >&2
    cp "$here/package.json" "$here/package-lock.json" "$tools/"
    npm ci --prefix "$tools" --no-audit --no-fund --ignore-scripts --loglevel=error >&2
    touch "$tools/complete"
  fi
fi
echo "$tools"
