#!/usr/bin/env bash
# Says which tools are missing and how to get them, and installs those that the system's package manager has.
# Usage: prerequisites.sh run|test|fuzz
set -euo pipefail

for_what=${1:-run}
packages=()
manual=()

has() { command -v "$1" >/dev/null 2>&1; }

if ! has cargo; then
  manual+=("Rust: install rustup from https://rustup.rs, open a new shell, and run make again.
      The pinned toolchain (rust-toolchain.toml) then installs itself.")
fi
has cc || packages+=(gcc libc6-dev)
has python3 || packages+=(python3)
python3 -m pip --version >/dev/null 2>&1 || packages+=(python3-pip)
has npm || packages+=(nodejs npm)
if [ "$for_what" = test ]; then
  # A virtual environment needs ensurepip, which Debian keeps in a package of its own.
  python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || packages+=(python3-venv)
  has openssl || packages+=(openssl)
  has curl || packages+=(curl)
fi

# The fuzzer itself is C++.
[ "$for_what" != fuzz ] || has c++ || packages+=(g++)

install() {
  if has apt-get && [ "$(id -u)" = 0 ]; then
    apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
  elif has apt-get && has sudo && sudo -n true 2>/dev/null; then
    sudo -n apt-get update -q && sudo -n DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
  else
    return 1
  fi
}

if [ ${#packages[@]} -gt 0 ]; then
  echo "==> Missing: ${packages[*]}. Installing them with the system's package manager."
  if ! install "${packages[@]}"; then
    manual+=("${packages[*]} (names of Debian packages): they could not be installed from here.
      Debian, Ubuntu: sudo apt-get install ${packages[*]}
      Fedora:         sudo dnf install gcc gcc-c++ python3 python3-pip nodejs npm openssl curl
      macOS:          xcode-select --install; brew install python node openssl")
  fi
fi

if [ ${#manual[@]} -gt 0 ]; then
  echo "Hooklog needs some tools that this machine does not have:" >&2
  for line in "${manual[@]}"; do printf '  - %s\n' "$line" >&2; done
  exit 1
fi
