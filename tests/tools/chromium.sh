#!/usr/bin/env bash
# Prints where Chromium is; installs Debian's where there is none and that is possible without asking.
set -euo pipefail

found() {
  for name in chromium chromium-browser google-chrome; do
    if command -v "$name"; then return 0; fi
  done
  return 1
}

if [ -n "${HOOKLOG_CHROMIUM:-}" ]; then echo "$HOOKLOG_CHROMIUM"; exit 0; fi
if found; then exit 0; fi

packages=(chromium fonts-liberation)
root=()
[ "$(id -u)" = 0 ] || root=(sudo -n)
if command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }; then
  echo "Installing ${packages[*]} for the tests of the dashboard" >&2
  # Tests run in parallel processes: one installs, the others wait for it.
  exec 9>"${TMPDIR:-/tmp}/hooklog-chromium.lock"
  if command -v flock >/dev/null; then flock 9; fi
  if ! found >/dev/null; then
    # Where that fails, what is said below helps more than where it failed.
    "${root[@]}" apt-get update -q >&2 || true
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${packages[@]}" >&2 || true
  fi
fi
if found; then exit 0; fi
echo "The tests of the dashboard need Chromium, which could not be installed from here." >&2
echo "Debian, Ubuntu: sudo apt-get install chromium. Elsewhere: install it, and say where in HOOKLOG_CHROMIUM." >&2
exit 1
