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


def newest(*values):
    return max([t for t in map(moment, values) if t is not None], default=0)


def fold_jobs(deliveries):
    """The highest-ranked announcement of each job and attempt; ties by its own times, then by the greater SHA-256."""
    best = {}
    for d in deliveries:
        job = d.payload.get("workflow_job")
        if d.event != "workflow_job" or d.duplicate_of or not isinstance(job, dict):
            continue
        status = d.action if d.action in RANK else job.get("status")
        steps = [step.get(name) for step in job.get("steps") or [] for name in ("started_at", "completed_at")]
        own = newest(
            *(job.get(name) for name in ("created_at", "started_at", "completed_at")),
            *steps,
            inside(d.payload, "deployment", "updated_at"),
        )
        order = (RANK[status], own, d.sha256)
        key = (job["id"], job.get("run_attempt") or 1)
        if key not in best or order > best[key][0]:
            best[key] = (order, status, job, d)
    return {f"{key[0]}/{key[1]}": job_row(*found[1:]) for key, found in best.items()}


def job_row(status, job, delivery):
    begun = status in ("in_progress", "completed")
    labels = job.get("labels") or []
    created, started = moment(job.get("created_at")), moment(job.get("started_at"))
    return {
        "status": status,
        "conclusion": text(job.get("conclusion")),
        "repository": delivery.repository,
        "runId": job["run_id"],
        "name": job.get("name"),
        "labels": sorted(labels),
        "priority": priority(labels),
        "runner": text(job.get("runner_name")) if begun else None,
        "queuedAt": created if begun or created is not None else started,
        "startedAt": started if begun else None,
        "completedAt": moment(job.get("completed_at")) if status == "completed" else None,
    }


def fold_runs(deliveries):
    """The latest attempt of each run, its states ranked; ties by its own times, then by the greater SHA-256."""
    best = {}
    for d in deliveries:
        run = d.payload.get("workflow_run")
        if d.event != "workflow_run" or d.duplicate_of or not isinstance(run, dict):
            continue
        status = d.action if d.action in RANK else run.get("status")
        own = newest(*(run.get(name) for name in ("created_at", "updated_at", "run_started_at")))
        order = (run.get("run_attempt") or 1, RANK.get(status, -1), own, d.sha256)
        if run["id"] not in best or order > best[run["id"]][0]:
            best[run["id"]] = (order, run, d)
    return {str(run_id): run_row(run, d) for run_id, (_, run, d) in best.items()}


def run_row(run, delivery):
    return {
        "repository": delivery.repository,
        "workflowName": text(run.get("name")),
        "headBranch": text(run.get("head_branch")),
        "headSha": text(run.get("head_sha")),
        "event": text(run.get("event")),
        "status": run.get("status"),
        "conclusion": text(run.get("conclusion")),
        "createdAt": moment(run.get("created_at")),
        "updatedAt": moment(run.get("updated_at")),
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
