"""Compares what a destination got with what the log says of it, one delivery at a time, by idempotency key.

Every delivery that was due arrived and was answered 2xx, under one key per round; it has one outcome per round; the body is the
one that was sent. Repeats under the same key are counted, not refused: a request in flight at a crash is sent again.
Prints {"deliveries": n, "requests": n, "repeats": n}, or every difference and fails.
Usage: forwarded.py --dump FILE --taken FILE --destination NAME
"""

import argparse
import collections
import json
import sys

ENDS = ("DeliveryProcessed", "DeliveryDeadLettered")
problems = []


def expect(what, seen, wanted):
    if seen != wanted and len(problems) < 50:
        problems.append(f"{what}: {seen!r}, wanted {wanted!r}")


def read_lines(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def rounds_of(events, destination):
    """The event ids that opened a round at the destination, in order."""
    opened = []
    for event in events:
        metadata = event["metadata"]
        if event["type"] == "DeliveryReceived":
            due = f"destination:{destination}" in metadata.get("reactorsDue", [])
            if due and event.get("duplicateOf") is None:
                opened.append(event["id"])
        elif event["type"] == "DeliveryReplayRequested":
            outcome = metadata["outcome"]
            if outcome["to"] == "processing" and destination in outcome.get("destinations", []):
                opened.append(event["id"])
    return opened


def main():
    parser = argparse.ArgumentParser()
    for name in ("dump", "taken", "destination"):
        parser.add_argument(f"--{name}", required=True)
    given = parser.parse_args()
    streams = collections.defaultdict(list)
    for event in read_lines(given.dump):
        if event["stream"].startswith("delivery-"):
            streams[event["stream"]].append(event)
    taken = collections.defaultdict(list)
    for request in read_lines(given.taken):
        taken[request["key"]].append(request)
    known = set()
    for stream, events in streams.items():
        receipt = events[0]["metadata"]
        ended = collections.Counter()
        for event in events:
            outcome = event["metadata"].get("outcome", {})
            if event["type"] in ENDS and outcome["destination"] == given.destination:
                ended[outcome["round"]] += 1
        opened = rounds_of(events, given.destination)
        expect(f"{stream}: outcomes", dict(ended), {event_id: 1 for event_id in opened})
        for event_id in opened:
            key = f"{event_id}.{given.destination}"
            known.add(key)
            requests = taken.get(key, [])
            expect(f"{stream}: arrived under {key}", any(200 <= (r["answered"] or 0) < 300 for r in requests), True)
            for request in requests:
                expect(f"{stream}: body under {key}", request["sha256"], receipt["sha256"])
                expect(f"{stream}: delivery under {key}", request["delivery"], receipt.get("deliveryId"))
    expect("keys that no round explains", sorted(set(taken) - known), [])
    if problems:
        sys.exit("the destination and the log differ:\n" + "\n".join(problems))
    requests = sum(map(len, taken.values()))
    json.dump({"deliveries": len(streams), "requests": requests, "repeats": requests - len(taken)}, sys.stdout)


if __name__ == "__main__":
    main()
