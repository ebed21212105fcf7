"""Compares what the API says about statistics, repositories, jobs and runs with a fold of the payloads that were sent.

Usage: answers.py --sent FILE --url URL
"""

import argparse
import sys
import time
import urllib.parse
import urllib.request

import fold
import json

problems = []


def expect(what, seen, wanted):
    if seen != wanted and len(problems) < 50:
        problems.append(f"{what}: {seen!r}, wanted {wanted!r}")


def ask(url, path, **parameters):
    query = urllib.parse.urlencode(parameters)
    with urllib.request.urlopen(f"{url}/api{path}?{query}", timeout=60) as answer:
        body = json.load(answer)
    if body.get("success") is not True:
        sys.exit(f"{path}: {body}")
    return body["data"]


def pages(url, path, field):
    """All rows of a list, page by page."""
    rows, parameters = [], {"limit": 100}
    while True:
        page = ask(url, path, **parameters)
        rows += page[field]
        if not page.get("nextCursor"):
            return rows
        parameters["cursor"] = page["nextCursor"]


def check_statistics(url, wanted):
    data = ask(url, "/webhooks/statistics")
    for name in ("totalEvents", "processedEvents", "pendingEvents", "failedEvents", "duplicates"):
        expect(f"statistics: {name}", data["summary"][name], wanted[name])
    expect("statistics: successRate", data["summary"]["successRate"], "100.00")
    expect("statistics: byEvent", {row["event"]: row["total"] for row in data["byEvent"]}, wanted["byEvent"])
    expect("statistics: the series adds up", sum(point["total"] for point in data["series"]), wanted["totalEvents"])


def check_repositories(url, wanted):
    rows = {row["repository"].lower(): row for row in ask(url, "/repositories", limit=1000)["repositories"]}
    expect("repositories", sorted(rows), sorted(wanted))
    for name, repository in wanted.items():
        row, events = rows.get(name), repository["events"]
        if row is None:
            continue
        seen = {field: row[field] for field in ("totalEvents", "contributors", "pushes", "commits", "releases")}
        counted = {
            "totalEvents": sum(events.values()),
            "contributors": len(repository["contributors"]),
            "pushes": events.get("push", 0),
            "commits": repository["commits"],
            "releases": events.get("release", 0),
        }
        expect(f"repository {name}", seen, counted)
        check_activity(url, name, repository)


def check_activity(url, name, wanted):
    owner, _, repo = name.partition("/")
    data = ask(url, f"/repositories/{owner}/{urllib.parse.quote(repo, safe='')}/activity", hours=24)
    actions = wanted["actions"]
    expect(f"activity of {name}: byEvent", {row["event"]: row["total"] for row in data["byEvent"]}, wanted["events"])
    expect(f"activity of {name}: contributors", sorted(c["sender"] for c in data["contributors"]), wanted["contributors"])
    expect(f"activity of {name}: pushes", data["pushes"], {"total": wanted["events"].get("push", 0), "commits": wanted["commits"]})
    pulls = {"total": wanted["events"].get("pull_request", 0), "merged": wanted["merged"]}
    pulls |= {action: actions.get(f"pull_request.{action}", 0) for action in ("opened", "closed")}
    expect(f"activity of {name}: pull requests", data["pullRequests"], pulls)
    issues = {"total": wanted["events"].get("issues", 0)}
    issues |= {action: actions.get(f"issues.{action}", 0) for action in ("opened", "closed")}
    expect(f"activity of {name}: issues", data["issues"], issues)


def check_jobs(url, wanted):
    seen = {f"{row['id']}/{row['runAttempt']}": row for row in pages(url, "/jobs", "jobs")}
    expect("jobs", sorted(seen), sorted(wanted))
    for key, job in wanted.items():
        row = seen.get(key)
        if row is None:
            continue
        told = {name: row[name] for name in ("status", "conclusion", "repository", "runId", "name", "priority")}
        told["labels"] = sorted(row["labels"])
        told["runner"] = row["runner"] and row["runner"]["name"]
        told |= {name: fold.moment(row[name]) for name in ("queuedAt", "startedAt", "completedAt")}
        expect(f"job {key}", told, job)


def check_runs(url, wanted):
    seen = {str(row["runId"]): row for row in pages(url, "/workflow-runs", "workflowRuns")}
    expect("workflow runs", sorted(seen), sorted(wanted))
    for key, run in wanted.items():
        row = seen.get(key)
        if row is None:
            continue
        told = {name: row[name] for name in run}
        told |= {name: fold.moment(row[name]) for name in ("createdAt", "updatedAt")}
        expect(f"workflow run {key}", told, run)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sent", required=True)
    parser.add_argument("--url", required=True)
    given = parser.parse_args()
    wanted = fold.fold(fold.read_sent(given.sent))
    # Statistics may be up to a second old, by design: ask until they agree, or for as long as is allowed.
    deadline = time.monotonic() + 10
    while True:
        problems.clear()
        check_statistics(given.url, wanted["statistics"])
        if not problems or time.monotonic() > deadline:
            break
    check_repositories(given.url, wanted["repositories"])
    check_jobs(given.url, wanted["jobs"])
    check_runs(given.url, wanted["runs"])
    if problems:
        sys.exit("the answers differ from the fold of what was sent:\n" + "\n".join(problems))


if __name__ == "__main__":
    main()
