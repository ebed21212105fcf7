#!/usr/bin/env bash
# Makes a golden data directory: what this version of Hooklog writes, to be read by all later ones.
# It is run once for each new shape on disk; what it made before is never made again.
# Usage: tests/golden/make.sh BINARY NAME     (for example: make.sh ~/.cache/hooklog/target/debug/hooklog data-1)
set -euo pipefail
binary=$(realpath "$1")
target=$(cd "$(dirname "$0")" && pwd)/$2
if [ -e "$target" ]; then echo "$target is there already: golden data is never changed" >&2; exit 1; fi
place=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill -TERM "$server" 2>/dev/null || true; wait; rm -rf "$place"' EXIT
cd "$place"

export GITHUB_WEBHOOK_SECRET="It's a Secret to Everybody" HOOKLOG_LOG__EMBEDDED__SEGMENT_BYTES=65536
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$binary" serve --port "$port" >server.log 2>&1 &
server=$!
until curl -sf -o /dev/null "http://127.0.0.1:$port/ready"; do kill -0 "$server"; sleep 0.1; done

deliver() { # event, id, file with the body, content type
  local signature
  signature=$(openssl dgst -sha256 -r -hmac "$GITHUB_WEBHOOK_SECRET" "$3" | cut -d' ' -f1)
  curl -sSf -o /dev/null "http://127.0.0.1:$port/api/webhooks/github" -H "Content-Type: ${4:-application/json}" \
    -H "X-GitHub-Event: $1" -H "X-GitHub-Delivery: $2" -H "X-GitHub-Hook-ID: 41" \
    -H "X-Hub-Signature-256: sha256=$signature" --data-binary "@$3"
  echo "$2 $(openssl dgst -sha256 -r "$3" | cut -d' ' -f1)" >>expected
}

printf '{"ref":"refs/heads/main","repository":{"full_name":"octo-org/golden"},"sender":{"login":"octocat"}}' >push
printf '{"action":"opened","issue":{"id":1,"number":1,"title":"Grüße, 世界"},"repository":{"full_name":"octo-org/golden"}}' >issue
printf '{"zen":"Keep it logically awesome."}' >ping
printf 'payload=%%7B%%22action%%22%%3A%%22closed%%22%%2C%%22repository%%22%%3A%%7B%%22full_name%%22%%3A%%22octo-org%%2Fform%%22%%7D%%7D' >form
printf '{"action":"completed","workflow_job":{"id":7,"run_id":3,"run_attempt":1,"status":"completed","conclusion":"success","created_at":"2026-01-01T00:00:00Z","started_at":"2026-01-01T00:00:05Z","completed_at":"2026-01-01T00:01:05Z","labels":["ubuntu-latest"],"name":"build"},"repository":{"full_name":"octo-org/golden"}}' >job
# Too large for the log: its body goes to the body store. Random in neither content nor length, so that it packs well.
python3 -c 'print("{\"padding\":\"" + "golden " * 40000 + "\"}", end="")' >large
deliver push golden-push push
deliver issues golden-issue issue
deliver ping golden-ping ping
deliver issues golden-form form application/x-www-form-urlencoded
deliver workflow_job golden-job job
deliver push golden-duplicate push
deliver push golden-large large
# Enough to begin a second segment.
for n in $(seq 1 12); do
  python3 -c "print('{\"n\":$n,\"text\":\"' + 'fill ' * 1500 + '\"}', end='')" >"fill-$n"
  deliver push "golden-fill-$n" "fill-$n"
done
kill -TERM "$server"
wait "$server"
server=
# The engines and the index hold nothing that the log doesn't, and are rebuilt.
rm -rf data/nats data/clickhouse data/credentials.json data/engines.json data/LOCK data/*lock data/log/index
cp -r data "$target"
cp expected "$target.expected"
du -sh "$target"
