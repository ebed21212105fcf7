"""An independent fold of GitLab's and Linear's bodies, compared with what the API says about jobs, runs and activity.

It knows docs/read-models.md and the documented API, and no code of Hooklog.

Usage: gitlab_fold.py --sent FILE --url URL, the file as lines of JSON: {source, event, id, body}
"""

import argparse
import collections
import hashlib
import json
import math
import sys
import urllib.parse

import answers
import fold

STATUS = {
    "created": ("waiting", 1),
    "scheduled": ("waiting", 2),
    "manual": ("waiting", 3),
    "pending": ("queued", 4),
    "skipped": ("completed", 5),
    "running": ("in_progress", 6),
    "success": ("completed", 8),
    "failed": ("completed", 8),
    "canceled": ("completed", 8),
}
ENDS = {"success": "success", "failed": "failure", "canceled": "cancelled", "skipped": "skipped"}


def optional(job):
    return job["status"] == "manual" and job["allow_failure"]


def standing(job):
    """Nobody waits for a job that the pipeline goes on without."""
    state, rank = STATUS[job["status"]]
    return ("completed", rank) if optional(job) else (state, rank)


def moment(value):
    """As Ruby writes it, in microseconds."""
    return fold.moment(value.replace(" UTC", "Z").replace(" ", "T")) if value else None


def unique(sent):
    """Each body once: what comes again is a repeat, or marked as a duplicate, and counts for nothing."""
    bodies = {}
    for one in sent:
        bodies.setdefault((one["source"], one["body"]), json.loads(one["body"]))
    return [(source, body, hashlib.sha256(text.encode()).hexdigest()) for (source, text), body in bodies.items()]


def told_jobs(body):
    """The jobs that a body tells of, each with its pipeline's id, name, ref and commit."""
    if body.get("object_kind") == "build":
        job = {name.removeprefix("build_"): value for name, value in body.items() if name.startswith("build_")}
        job["runner"] = body["runner"]
        yield job, (body["pipeline_id"], body["commit"]["name"], body["ref"], body["sha"])
    if body.get("object_kind") == "pipeline":
        pipeline = body["object_attributes"]
        for job in body["builds"]:
            yield job, (pipeline["id"], pipeline["name"], pipeline["ref"], pipeline["sha"])


def fold_jobs(bodies):
    best = {}
    for _, body, sha256 in bodies:
        for job, pipeline in told_jobs(body):
            times = [moment(job[name]) for name in ("created_at", "started_at", "finished_at")]
            order = (standing(job)[1], max(t for t in times if t is not None), sha256)
            if job["id"] not in best or order > best[job["id"]][0]:
                best[job["id"]] = (order, job_row(job, pipeline, body["project"]))
    return {number: row for number, (_, row) in best.items()}


def job_row(job, pipeline, project):
    state = standing(job)[0]
    begun = state in ("in_progress", "completed")
    created, started, finished = (moment(job[name]) for name in ("created_at", "started_at", "finished_at"))
    waited = None if job["queued_duration"] is None else round(job["queued_duration"] * 1_000_000)
    runner = job["runner"] or {}
    end = "skipped" if optional(job) else ENDS.get(job["status"])
    if job["status"] == "failed" and job["failure_reason"] in ("job_execution_timeout", "stuck_or_timeout_failure"):
        end = "timed_out"
    queued = started - waited if begun and started is not None and waited is not None else created
    return {
        "host": urllib.parse.urlsplit(project["web_url"]).netloc,
        "status": state,
        "conclusion": end,
        "repository": project["path_with_namespace"],
        "runId": pipeline[0],
        "workflowName": pipeline[1],
        "headBranch": pipeline[2],
        "headSha": pipeline[3],
        "name": job["name"],
        "labels": runner.get("tags", []),
        "priority": fold.priority(runner.get("tags", [])),
        "runner": runner.get("description"),
        "queuedAt": queued,
        "startedAt": started if begun else None,
        "completedAt": finished if state == "completed" else None,
    }


def fold_runs(bodies):
    best, pulls = {}, collections.defaultdict(set)
    for _, body, sha256 in bodies:
        if body.get("object_kind") != "pipeline":
            continue
        pipeline = body["object_attributes"]
        jobs = [job[name] for job in body["builds"] for name in ("created_at", "started_at", "finished_at")]
        at = max(moment(t) for t in [pipeline["created_at"], pipeline["finished_at"], *jobs] if t)
        state, rank = STATUS[pipeline["status"]]
        if state != "completed" and moment(pipeline["finished_at"]) == at:
            rank = 9
        order = (at, rank, sha256)
        if body["merge_request"]:
            pulls[pipeline["id"]].add(body["merge_request"]["iid"])
        if pipeline["id"] not in best or order > best[pipeline["id"]][0]:
            row = {
                "host": urllib.parse.urlsplit(body["project"]["web_url"]).netloc,
                "runNumber": pipeline["iid"],
                "repository": body["project"]["path_with_namespace"],
                "workflowName": pipeline["name"],
                "headBranch": pipeline["ref"],
                "headSha": pipeline["sha"],
                "event": pipeline["source"],
                "status": "requested" if pipeline["status"] == "created" else state,
                "conclusion": ENDS.get(pipeline["status"]),
                "actor": body["user"]["username"],
                "createdAt": moment(pipeline["created_at"]),
                "updatedAt": at,
                "url": pipeline["url"],
            }
            best[pipeline["id"]] = (order, row)
    return {number: row for number, (_, row) in best.items()}, pulls


def fold_activity(bodies):
    """By repository in lower case: counts of event and action, people, commits."""
    repositories = {}
    for source, body, _ in bodies:
        if source == "linear":
            name, event, action, sender = linear_repository(body), body["type"], body["action"], body["actor"]["name"]
        else:
            name, event = body["project"]["path_with_namespace"], body["object_kind"]
            attributes = body.get("object_attributes", {})
            status = body.get("build_status") or attributes.get("status")
            action = attributes.get("action") or body.get("action") or status or ""
            # A job event names its user without a username.
            sender = body.get("user_username") or body.get("user", {}).get("username")
        if not name:
            continue
        found = repositories.setdefault(name.lower(), {"actions": collections.Counter(), "people": set(), "commits": 0})
        found["actions"][event, action] += 1
        found["commits"] += body["total_commits_count"] if event == "push" else 0
        if sender:
            found["people"].add(sender)
    return repositories


def linear_repository(body):
    if body["type"] == "Attachment":
        return urllib.parse.urlsplit(body["data"]["url"]).path.split("/-/")[0].strip("/")
    for synced in body["data"]["syncedWith"] or []:
        if synced["service"] == "github":
            return f"{synced['metadata']['owner']}/{synced['metadata']['repo']}"
    return None


def check_jobs(url, wanted, pulls):
    seen = {row["id"]: row for row in answers.pages(url, "/jobs", "jobs")}
    answers.expect("jobs", sorted(seen), sorted(wanted))
    for number, job in wanted.items():
        row = seen.get(number)
        if row is None:
            continue
        told = {name: row[name] for name in job if name in row}
        told["runner"] = row["runner"] and row["runner"]["name"]
        told |= {name: fold.moment(row[name]) for name in ("queuedAt", "startedAt", "completedAt")}
        answers.expect(f"job {number}", told, job)
        answers.expect(f"merge requests of job {number}", set(row["pullRequests"]), pulls[job["runId"]])


def check_runs(url, wanted):
    seen = {row["runId"]: row for row in answers.pages(url, "/workflow-runs", "workflowRuns")}
    answers.expect("workflow runs", sorted(seen), sorted(wanted))
    for number, run in wanted.items():
        row = seen.get(number)
        if row is None:
            continue
        told = {name: row[name] for name in run}
        told |= {name: fold.moment(row[name]) for name in ("createdAt", "updatedAt")}
        answers.expect(f"workflow run {number}", told, run)


def spread(times):
    if not times:
        return {"avg": None, "p50": None, "p95": None, "p99": None}
    times = sorted(times)
    rank = lambda percent: times[max(1, math.ceil(len(times) * percent / 100)) - 1]
    return {"avg": sum(times) / len(times), "p50": rank(50), "p95": rank(95), "p99": rank(99)}


def check_metrics(url, jobs, repository):
    data = answers.ask(url, "/jobs/metrics", hours=24, repository=repository)
    done = [job for job in jobs.values() if job["completedAt"] is not None]
    answers.expect("metrics: completed", data["completedJobs"], len(done))
    succeeded = sum(job["conclusion"] == "success" for job in done)
    answers.expect("metrics: success rate", data["successRate"], f"{100 * succeeded / len(done):.2f}")
    ends = collections.Counter(job["conclusion"] for job in done)
    answers.expect("metrics: conclusions", {row["conclusion"]: row["total"] for row in data["byConclusion"]}, dict(ends))
    open_jobs = collections.Counter(job["status"] for job in jobs.values())
    answers.expect("metrics: pending", data["pendingJobs"], open_jobs["queued"] + open_jobs["waiting"])
    answers.expect("metrics: running", data["runningJobs"], open_jobs["in_progress"])
    tags = collections.Counter(tag for job in done for tag in job["labels"])
    answers.expect("metrics: labels", {row["label"]: row["completedJobs"] for row in data["byLabel"]}, dict(tags))
    runners = collections.Counter(job["runner"] for job in done if job["runner"])
    answers.expect("metrics: runners", {row["runner"]: row["completedJobs"] for row in data["byRunner"]}, dict(runners))
    for field, begin, end in (("queueTimeMs", "queuedAt", "startedAt"), ("durationMs", "startedAt", "completedAt")):
        times = [(job[end] - job[begin]) // 1000 for job in done if None not in (job[begin], job[end])]
        exact = {name: None if value is None else round(value, 3) for name, value in spread(times).items()}
        told = {name: None if value is None else round(value, 3) for name, value in data[field].items()}
        answers.expect(f"metrics: {field}", told, exact)


def check_activity(url, name, wanted):
    owner, _, rest = name.partition("/")
    data = answers.ask(url, f"/repositories/{owner}/{urllib.parse.quote(rest, safe='')}/activity", hours=24)
    actions = wanted["actions"]
    by_event = collections.Counter()
    for (event, _), count in actions.items():
        by_event[event] += count
    answers.expect(f"activity of {name}: byEvent", {row["event"]: row["total"] for row in data["byEvent"]}, dict(by_event))
    answers.expect(f"activity of {name}: contributors", {row["sender"] for row in data["contributors"]}, wanted["people"])
    pushes = {"total": by_event["push"] + by_event["tag_push"], "commits": wanted["commits"]}
    answers.expect(f"activity of {name}: pushes", data["pushes"], pushes)
    requests = {
        "total": by_event["merge_request"],
        "opened": actions["merge_request", "open"],
        "closed": actions["merge_request", "close"] + actions["merge_request", "merge"],
        "merged": actions["merge_request", "merge"],
    }
    answers.expect(f"activity of {name}: merge requests", data["pullRequests"], requests)
    issues = {
        "total": by_event["issue"] + by_event["Issue"],
        "opened": actions["issue", "open"] + actions["Issue", "create"],
        "closed": actions["issue", "close"],
    }
    answers.expect(f"activity of {name}: issues", data["issues"], issues)
    releases = {"total": by_event["release"], "published": actions["release", "create"]}
    answers.expect(f"activity of {name}: releases", data["releases"], releases)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sent", required=True)
    parser.add_argument("--url", required=True)
    given = parser.parse_args()
    with open(given.sent, encoding="utf-8") as lines:
        bodies = unique([json.loads(line) for line in lines])
    jobs, (runs, pulls) = fold_jobs(bodies), fold_runs(bodies)
    check_jobs(given.url, jobs, pulls)
    check_runs(given.url, runs)
    repositories = fold_activity(bodies)
    for name, wanted in repositories.items():
        check_activity(given.url, name, wanted)
    seen = {row["repository"].lower() for row in answers.ask(given.url, "/repositories", limit=1000)["repositories"]}
    answers.expect("repositories", seen, set(repositories))
    check_metrics(given.url, jobs, next(iter(jobs.values()))["repository"])
    if answers.problems:
        sys.exit("the answers differ from the fold of what was sent:\n" + "\n".join(answers.problems))
    print(json.dumps({"jobs": len(jobs), "runs": len(runs), "repositories": sorted(repositories)}))


if __name__ == "__main__":
    main()
