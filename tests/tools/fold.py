"""An independent fold: what the answers must be, computed from the payloads alone.

It knows docs/read-models.md and the documented API, and no code of Hooklog. Used as a module by reconcile.py; run by
itself it prints the fold of deliveries given as lines of JSON ({event, delivery, hook, body}, in the order of the log).
"""

import collections
import hashlib
import json
import sys
from datetime import datetime, timezone

RANK = {"queued": 0, "waiting": 0, "requested": 0, "pending": 0, "in_progress": 1, "completed": 2}


class Delivery:
    """A delivery as sent, with the facts that the documentation derives from it."""

    def __init__(self, event, delivery, hook, body, position=None):
        self.event, self.delivery, self.hook, self.body, self.position = event, delivery, hook, body, position
        self.sha256 = hashlib.sha256(body).hexdigest()
        self.payload = json.loads(body)
        self.action = text(self.payload.get("action"))
        self.repository = text(inside(self.payload, "repository", "full_name"))
        self.sender = text(inside(self.payload, "sender", "login"))
        self.duplicate_of = None

    @property
    def key(self):
        return ".".join(["github", escape(self.hook or "_"), escape(self.delivery)])


def text(value):
    return value if isinstance(value, str) and value else None


def inside(value, *names):
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def escape(part):
    """Everything but letters, digits, - and _ is percent-encoded."""
    plain = lambda b: chr(b).isascii() and (chr(b).isalnum() or chr(b) in "-_")
    return "".join(chr(b) if plain(b) else f"%{b:02X}" for b in part.encode())


def subject_part(part):
    if not part:
        return "_"
    escaped = escape(part)
    if len(escaped) <= 128:
        return escaped
    return escaped[:100] + "~" + hashlib.sha256(escaped.encode()).hexdigest()[:16]


def subject(delivery, tenant="default", source="github"):
    owner = name = None
    if delivery.repository:
        owner, slash, name = delivery.repository.lower().partition("/")
        if not slash:
            owner, name = None, owner
    parts = [delivery.event, delivery.action, owner, name]
    return ".".join(["hooklog.v1", tenant, source] + [subject_part(p) for p in parts])


def moment(value):
    """RFC 3339 text or seconds as microseconds since 1970, None where there is none."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return int(value * 1_000_000)
    if not text(value):
        return None
    time = datetime.fromisoformat(value.replace("Z", "+00:00"))
    since = time.astimezone(timezone.utc) - datetime(1970, 1, 1, tzinfo=timezone.utc)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def priority(labels):
    labels = {label.lower() for label in labels}
    return (
        100 * bool(labels & {"production", "deploy"})
        + 50 * bool(labels & {"critical", "urgent"})
        + 10 * bool(labels & {"ubuntu-latest", "small"})
        - 10 * bool(labels & {"large", "xl"})
    )


def mark_duplicates(deliveries):
    """Within the window (longer than any test), the first with a body is the original of all later ones."""
    originals = {}
    for delivery in deliveries:
        original = originals.setdefault(delivery.sha256, delivery)
        if original is not delivery:
            delivery.duplicate_of = original.key


def fold_statistics(deliveries):
    by_event = collections.Counter(d.event for d in deliveries)
    return {
        "totalEvents": len(deliveries),
        "processedEvents": len(deliveries),
        "pendingEvents": 0,
        "failedEvents": 0,
        "duplicates": sum(d.duplicate_of is not None for d in deliveries),
        "byEvent": {event: count for event, count in sorted(by_event.items())},
    }


def fold_repositories(deliveries):
    repositories = {}
    for d in deliveries:
        if d.duplicate_of or not d.repository:
            continue
        r = repositories.setdefault(
            d.repository.lower(),
            {"events": collections.Counter(), "contributors": set(), "commits": 0, "merged": 0, "actions": collections.Counter()},
        )
        r["events"][d.event] += 1
        r["actions"][f"{d.event}.{d.action or ''}"] += 1
        if d.sender:
            r["contributors"].add(d.sender)
        if d.event == "push":
            r["commits"] += len(d.payload.get("commits") or [])
        if d.event == "pull_request" and d.action == "closed" and inside(d.payload, "pull_request", "merged") is True:
            r["merged"] += 1
    for r in repositories.values():
        r["events"], r["actions"] = dict(sorted(r["events"].items())), dict(sorted(r["actions"].items()))
        r["contributors"] = sorted(r["contributors"])
    return repositories


def fold_jobs(deliveries):
    """The highest-ranked announcement of each job and attempt; ties by its own times, then by the greater SHA-256."""
    best = {}
    for d in deliveries:
        job = d.payload.get("workflow_job")
        if d.event != "workflow_job" or d.duplicate_of or not isinstance(job, dict):
            continue
        status = job.get("status") if job.get("status") in RANK else d.action
        own = max([t for t in map(moment, (job.get("created_at"), job.get("started_at"), job.get("completed_at"))) if t is not None], default=0)
        updated = moment(inside(d.payload, "deployment", "updated_at"))
        order = (RANK.get(status, 0), max(own, updated or 0), d.sha256)
        key = (job["id"], job.get("run_attempt") or 1)
        if key not in best or order > best[key][0]:
            best[key] = (order, status, job, d)
    jobs = {}
    for (job_id, attempt), (_, status, job, d) in best.items():
        labels = job.get("labels") or []
        jobs[f"{job_id}/{attempt}"] = {
            "status": status,
            "conclusion": text(job.get("conclusion")),
            "repository": d.repository,
            "runId": job["run_id"],
            "name": job.get("name"),
            "labels": sorted(labels),
            "priority": priority(labels),
            "runnerName": text(job.get("runner_name")),
            "startedAt": moment(job.get("started_at")) if status in ("in_progress", "completed") else None,
            "completedAt": moment(job.get("completed_at")),
        }
    return jobs


def fold_runs(deliveries):
    best = {}
    for d in deliveries:
        run = d.payload.get("workflow_run")
        if d.event != "workflow_run" or d.duplicate_of or not isinstance(run, dict):
            continue
        order = (run.get("run_attempt") or 1, RANK.get(run.get("status"), 0), moment(run.get("updated_at")) or 0, d.sha256)
        if run["id"] not in best or order > best[run["id"]][0]:
            best[run["id"]] = (order, run, d)
    return {
        str(run_id): {
            "repository": d.repository,
            "workflowName": text(run.get("name")),
            "headBranch": text(run.get("head_branch")),
            "headSha": run.get("head_sha"),
            "event": run.get("event"),
            "status": run.get("status"),
            "conclusion": text(run.get("conclusion")),
            "createdAt": moment(run.get("created_at")),
            "updatedAt": moment(run.get("updated_at")),
        }
        for run_id, (_, run, d) in best.items()
    }


def fold(deliveries):
    mark_duplicates(deliveries)
    return {
        "statistics": fold_statistics(deliveries),
        "repositories": fold_repositories(deliveries),
        "jobs": fold_jobs(deliveries),
        "runs": fold_runs(deliveries),
    }


def read_sent(path):
    """Deliveries as lines of JSON, with the positions that the answers named, in the order of the log."""
    with open(path, encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    rows.sort(key=lambda row: row.get("position") or 0)
    return [Delivery(r["event"], r["delivery"], r["hook"], r["body"].encode(), r.get("position")) for r in rows]


if __name__ == "__main__":
    json.dump(fold(read_sent(sys.argv[1])), sys.stdout, indent=1, ensure_ascii=False)
