#!/usr/bin/env bash
# Prints where Chromium is: the one of CHROMIUM, one that is installed, or Debian's, which is installed where that is possible
# without asking.
set -euo pipefail

# Ubuntu's apt has but a stub, which is there and does not run: whatever is found has to say its version.
runs() {
  [ -n "$1" ] && timeout 60 "$1" --version >/dev/null 2>&1
}

found() {
  for name in chromium chromium-browser google-chrome google-chrome-stable chrome /snap/bin/chromium; do
    path=$(command -v "$name") || continue
    if runs "$path"; then echo "$path"; return 0; fi
  done
  return 1
}

if [ -n "${CHROMIUM:-}" ]; then
  if path=$(command -v "$CHROMIUM") && runs "$path"; then echo "$path"; exit 0; fi
  echo "CHROMIUM names $CHROMIUM, which does not run as Chromium does: $CHROMIUM --version" >&2
  exit 1
fi
if found; then exit 0; fi

packages=(chromium fonts-liberation)
root=()
[ "$(id -u)" = 0 ] || root=(sudo -n)
if command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }; then
  # Tests run in parallel processes: one installs, the others wait for it.
  exec 9>"${TMPDIR:-/tmp}/hooklog-chromium.lock"
  if command -v flock >/dev/null; then flock 9; fi
  if ! found >/dev/null; then
    echo "Installing ${packages[*]} for the tests of the dashboard" >&2
    # Where that fails, what is said below helps more than where it failed.
    "${root[@]}" apt-get update -q >&2 || true
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${packages[@]}" >&2 || true
  fi
fi
if found; then exit 0; fi
{
  echo "The tests of the dashboard need Chromium, which could not be installed from here. What helps:"
  if grep -qs '^ID=ubuntu' "${OS_RELEASE:-/etc/os-release}"; then
    echo "  sudo snap install chromium          (Ubuntu's apt has it as a snap only)"
    echo "  or Google's package: https://www.google.com/chrome, and then: sudo apt-get install ./google-chrome-*.deb"
  else
    echo "  sudo apt-get install chromium       (Debian; elsewhere the package of that name)"
  fi
  echo "  or any Chromium of yours, by its path in the variable CHROMIUM"
} >&2
exit 1
