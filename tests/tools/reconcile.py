"""Compares what was sent with the log, the stream and the tables, one event at a time, by clients that are not ours.

Prints {"log": n, "stream": n, "rows": n}, or every difference and fails.
Usage: reconcile.py --data DIR --dump FILE --sent FILE --url URL
"""

import argparse
import asyncio
import base64
import hashlib
import json
import sys
import urllib.request

import engines
import fold

INLINE_BYTES_MAX = 256 * 1024
RECEIPT = "DeliveryReceived"
problems = []


def expect(what, seen, wanted):
    if seen != wanted and len(problems) < 50:
        problems.append(f"{what}: {seen!r}, wanted {wanted!r}")


def read_dump(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def stream_name(delivery):
    return f"delivery-default.{delivery.key}"


def check_log(log, sent):
    """Each delivery once, at the position that its answer named, byte for byte, duplicates marked."""
    positions = [event["position"] for event in log]
    expect("positions of the log", positions, sorted(set(positions)))
    receipts = [event for event in log if event["type"] == RECEIPT]
    expect("how many deliveries the log holds", len(receipts), len(sent))
    by_stream = {}
    for event in log:
        by_stream.setdefault(event["stream"], []).append(event)
    for delivery in sent:
        events = by_stream.get(stream_name(delivery), [])
        expect(f"receipts in the stream of {delivery.delivery}", [e["type"] for e in events].count(RECEIPT), 1)
        expect(f"revisions of {delivery.delivery}", [e["revision"] for e in events], list(range(len(events))))
        for event in events[:1]:
            check_event(event, delivery)


def check_event(event, delivery):
    name, metadata = delivery.delivery, event["metadata"]
    expect(f"{name}: position", event["position"], delivery.position)
    expect(f"{name}: revision", event["revision"], 0)
    expect(f"{name}: type", event["type"], "DeliveryReceived")
    original = event.get("duplicateOf")
    expect(f"{name}: original", original, delivery.duplicate_of and f"delivery-default.{delivery.duplicate_of}")
    expect(f"{name}: event", metadata["event"], delivery.event)
    expect(f"{name}: action", metadata.get("action"), delivery.action)
    expect(f"{name}: repository", metadata.get("repository"), delivery.repository)
    expect(f"{name}: sender", metadata.get("sender"), delivery.sender)
    expect(f"{name}: hook", metadata.get("hookId"), delivery.hook)
    expect(f"{name}: SHA-256 of the facts", metadata["sha256"], delivery.sha256)
    if event.get("dataBase64") is not None:
        kept = base64.b64decode(event["dataBase64"])
        expect(f"{name}: SHA-256 in the log", hashlib.sha256(kept).hexdigest(), delivery.sha256)
    else:
        expect(f"{name}: kept in the body store", event["body"], {"sha256": delivery.sha256, "bytes": len(delivery.body)})


def check_large_bodies(log, url):
    for event in log:
        if event["type"] == RECEIPT and event.get("dataBase64") is None:
            key = event["metadata"]["key"]
            with urllib.request.urlopen(f"{url}/api/webhooks/events/{key}/body", timeout=60) as answer:
                expect(f"{key}: SHA-256 of the stored body", hashlib.sha256(answer.read()).hexdigest(), event["metadata"]["sha256"])


def check_stream(messages, log, sent):
    """Every event in log order without a hole, under its documented subject, with its documented headers."""
    by_stream = {stream_name(delivery): delivery for delivery in sent}
    expect("how many messages the stream holds", len(messages), len(log))
    previous = 0
    for (_, subject, headers, data), event in zip(messages, log):
        delivery = by_stream.get(event["stream"])
        expect(f"position of message {event['position']}", headers.get("Hooklog-Position"), str(event["position"]))
        expect(f"position before {event['position']}", headers.get("Hooklog-Previous"), str(previous))
        if event["type"] != RECEIPT:
            category = event["stream"].partition("-")[0]
            expect(f"subject at {event['position']}", subject, f"hooklog.log.v1.default.{category}.{event['type']}")
            expect(f"id at {event['position']}", headers.get("ce-id"), event["id"])
            previous = event["position"]
        if event["type"] != RECEIPT or delivery is None:
            continue
        name = f"message of {delivery.delivery}"
        expect(f"{name}: subject", subject, fold.subject(delivery))
        envelope = json.loads(headers.get("Hooklog-Event", "{}"))
        log_id = envelope.get("logId")
        wanted = {
            "Nats-Msg-Id": f"{log_id}:{event['position']}",
            "Hooklog-Position": str(event["position"]),
            "Hooklog-Previous": str(previous),
            "Hooklog-Delivery-Id": delivery.delivery,
            "ce-specversion": "1.0",
            "ce-id": event["id"],
            "ce-type": "DeliveryReceived",
            "ce-source": "/default/github",
            "ce-time": event["recordedAt"],
            "content-type": "application/json",
        }
        for header, value in wanted.items():
            expect(f"{name}: {header}", headers.get(header), value)
        expect(f"{name}: stream", envelope.get("stream"), event["stream"])
        expect(f"{name}: facts", envelope.get("metadata"), event["metadata"])
        if delivery.repository and delivery.repository.isascii():
            expect(f"{name}: ce-subject", headers.get("ce-subject"), delivery.repository)
        if len(delivery.body) <= INLINE_BYTES_MAX:
            expect(f"{name}: SHA-256", hashlib.sha256(data).hexdigest(), delivery.sha256)
        else:
            expect(f"{name}: data", data, b"")
            expect(f"{name}: reference", headers.get("ce-dataref", "").endswith(f"/api/webhooks/events/{delivery.key}/body"), True)
        previous = event["position"]


def check_rows(client, log, sent):
    """One row per delivery in the stable view, saying what the log says."""
    columns = "id, delivery_id, repository, event, action, signature, processed, duplicate_of, position, sender"
    rows = client.query(f"SELECT {columns} FROM webhook_events").result_rows
    expect("how many rows webhook_events has", len(rows), len(sent))
    by_id = {}
    for row in rows:
        by_id.setdefault(row[0], []).append(row)
    for delivery in sent:
        found = by_id.get(delivery.key, [])
        expect(f"rows of {delivery.delivery}", len(found), 1)
        for row in found:
            wanted = (
                delivery.key,
                delivery.delivery,
                delivery.repository or "",
                delivery.event,
                delivery.action or "",
                "verified",
                True,
                delivery.duplicate_of or "",
                delivery.position,
                delivery.sender or "",
            )
            expect(f"row of {delivery.delivery}", row, wanted)
    return len(rows)


def main():
    parser = argparse.ArgumentParser()
    for name in ("data", "dump", "sent", "url"):
        parser.add_argument(f"--{name}", required=True)
    given = parser.parse_args()
    log, sent = read_dump(given.dump), fold.read_sent(given.sent)
    fold.mark_duplicates(sent)
    check_log(log, sent)
    check_large_bodies(log, given.url)
    messages = asyncio.run(engines.stream(given.data))
    check_stream(messages, log, sent)
    rows = check_rows(engines.clickhouse(given.data), log, sent)
    if problems:
        sys.exit("the log, the stream and the tables differ:\n" + "\n".join(problems))
    json.dump({"log": len(log), "stream": len(messages), "rows": rows}, sys.stdout)


if __name__ == "__main__":
    main()
