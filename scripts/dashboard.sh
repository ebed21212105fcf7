#!/usr/bin/env bash
# Builds the dashboard into dashboard/dist, where the build of Hooklog finds it. Does nothing when nothing changed.
# Usage: dashboard.sh [test]   (test: also its types, pages and unit tests)
set -euo pipefail
cd "$(dirname "$0")/../dashboard"

# Vite wants it. Without, Hooklog is built with a page that says what is missing: everything but the dashboard works.
if ! node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 22 || (a === 22 && b >= 12) || (a === 20 && b >= 19) ? 0 : 1)' 2>/dev/null; then
  echo "The dashboard needs Node.js 20.19 or newer (22.12 of the 22s); here is $(node --version 2>/dev/null || echo none)." >&2
  echo "Install it from https://nodejs.org and run make again; until then Hooklog is built without its dashboard." >&2
  [ -z "${DASHBOARD_REQUIRED:-}" ] || exit 1
  exit 0
fi

# Names count as well as contents.
hash_of() { sort -z | xargs -0 sha256sum -- | sha256sum | cut -c1-32; }
packages=$(printf '%s\0' package.json package-lock.json .npmrc | hash_of)
sources=$(find . \( -path ./node_modules -o -path ./dist -o -path ./src/api/schema.d.ts \) -prune -o -type f -print0 | hash_of)

install() {
  [ "$(cat node_modules/.installed-from 2>/dev/null)" != "$packages" ] || return 0
  if ! npm ci --ignore-scripts --loglevel=error; then
    echo "The packages of the dashboard can't be fetched from the npm registry; run make again when it can be reached." >&2
    echo "Until then Hooklog is built without its dashboard." >&2
    [ -z "${DASHBOARD_REQUIRED:-}" ] || exit 1
    exit 0
  fi
  echo "$packages" >node_modules/.installed-from
}

if [ "$(cat dist/.built-from 2>/dev/null)" != "$sources" ]; then
  install
  npm run --silent build -- --logLevel warn
  echo "$sources" >dist/.built-from
fi
if [ "${1:-}" = test ]; then
  install
  npm run --silent check
  npm run --silent test
fi
