"""Prints what GitLab and Linear send while pipelines run in a project of nested groups: lines of JSON, {source, event, id, body}.

The bodies are the fixtures with other ids, statuses and times. They come in any order, some of them twice: under the same id, as a
sender does that got no answer, or under another one, as "Resend" of another hook does.

Usage: gitlab_session.py FIXTURES SEED
"""

import copy
import json
import random
import sys
import time
from pathlib import Path

FIXTURES, SEED = Path(sys.argv[1]), int(sys.argv[2])
PIPELINES = 8

dice = random.Random(SEED)
begin = int(time.time()) - 3 * 3600
sent = []


def fixture(source, name):
    return json.loads((FIXTURES / source / f"{name}.json").read_text(encoding="utf-8"))


def at(seconds):
    """As Ruby writes a time."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(begin + seconds))


def send(source, event, body):
    if source == "linear":
        body["webhookTimestamp"] = int(time.time() * 1000)
    sent.append({"source": source, "event": event, "body": json.dumps(body, ensure_ascii=False)})


def runner(n):
    return {
        "id": 40 + n % 3,
        "description": f"runner-{n % 3}",
        "runner_type": "instance_type" if n % 3 else "project_type",
        "active": True,
        "is_shared": bool(n % 3),
        "tags": [["linux", "small"], ["production", "docker"], ["XL", "urgent"]][n % 3],
    }


def job_event(job, pipeline):
    body = fixture("gitlab", "build")
    body |= {
        "build_id": job["id"],
        "build_name": job["name"],
        "build_stage": job["stage"],
        "build_status": job["status"],
        "build_created_at": job["created_at"],
        "build_started_at": job["started_at"],
        "build_finished_at": job["finished_at"],
        "build_queued_duration": job["queued_duration"],
        "build_allow_failure": job["allow_failure"],
        "build_failure_reason": job["failure_reason"] or "unknown_failure",
        "pipeline_id": pipeline["id"],
        "runner": job["runner"],
        "ref": pipeline["ref"],
        "retries_count": job["retries"],
    }
    body["commit"] |= {"id": pipeline["id"], "name": pipeline["name"]}
    send("gitlab", "Job Hook", body)


def pipeline_event(pipeline, jobs, merge_request):
    body = fixture("gitlab", "pipeline")
    body["object_attributes"] |= pipeline
    if merge_request:
        body["merge_request"] = {"id": 900 + merge_request, "iid": merge_request, "source_branch": pipeline["ref"]}
    body["builds"] = [{k: v for k, v in job.items() if k != "retries"} for job in jobs]
    send("gitlab", "Pipeline Hook", copy.deepcopy(body))


def fresh(number, stage, second, retries=0):
    return {
        "id": number,
        "stage": stage,
        "name": stage,
        "status": "created",
        "created_at": at(second),
        "started_at": None,
        "finished_at": None,
        "duration": None,
        "queued_duration": None,
        "failure_reason": None,
        "when": "on_success",
        "manual": False,
        "allow_failure": False,
        "runner": None,
        "retries": retries,
    }


def run_job(job, pipeline, second, end, reason=None, stop=None):
    """From created to its end; `stop` is the status that it is left in."""
    for status in ("created", "pending", "running", end):
        job["status"] = status
        if status == "running":
            job |= {"started_at": at(second + 10), "queued_duration": dice.randrange(1, 9_999) / 1000, "runner": runner(job["id"])}
        if status == end:
            job |= {"finished_at": at(second + 10 + dice.randrange(5, 600)), "failure_reason": reason}
        job_event(job, pipeline)
        if status == stop:
            return


def run_pipeline(n):
    second = n * 700
    pipeline = {
        "id": 2000 + n,
        "iid": n + 1,
        "name": "nightly" if n % 2 else None,
        "ref": f"branch-{n}",
        "sha": f"{n:040x}",
        "source": "merge_request_event" if n % 3 == 0 else "push",
        "status": "created",
        "created_at": at(second),
        "finished_at": None,
        "duration": None,
        "queued_duration": n,
        "url": f"https://gitlab.example.com/Acme/Platform/Billing-API/-/pipelines/{2000 + n}",
    }
    merge_request = n + 1 if n % 3 == 0 else None
    build, test, deploy = (fresh(10_000 + n * 10 + k, stage, second) for k, stage in enumerate(("build", "test", "deploy")))
    jobs = [build, test, deploy]
    tell = lambda status: (pipeline.update(status=status), pipeline_event(pipeline, jobs, merge_request))
    tell("created")
    job_event(deploy, pipeline)
    tell("pending")
    run_job(build, pipeline, second + 5, "success")
    tell("running")
    outcome = n % 4
    if outcome == 0:
        run_job(test, pipeline, second + 60, "success")
        run_job(deploy, pipeline, second + 120, "canceled", stop="running" if n == 4 else None)
        tell("running" if n == 4 else "canceled")
        return
    if outcome == 1:
        run_job(test, pipeline, second + 60, "failed", "stuck_or_timeout_failure")
    else:
        run_job(test, pipeline, second + 60, "failed", "script_failure")
    # Of jobs that are skipped or manual GitLab sends no event of their own.
    deploy["status"] = "skipped"
    pipeline["finished_at"] = at(second + 1300)
    tell("failed")
    if outcome == 2:
        again = fresh(10_000 + n * 10 + 5, "test", second + 2000, retries=1)
        jobs[1] = again
        run_job(again, pipeline, second + 2000, "success")
        deploy["status"] = "created"
        tell("running")
        run_job(deploy, pipeline, second + 2100, "success")
        pipeline["finished_at"] = at(second + 2900)
        tell("success")
    if outcome == 3:
        manual = fresh(10_000 + n * 10 + 6, "rollback", second) | {"manual": True, "allow_failure": n == 3}
        jobs.append(manual)
        job_event(manual, pipeline)
        manual["status"] = "manual"
        tell("failed")
        # Somebody starts it, and the pipeline goes on: it keeps the time of its end until it ends again.
        if n == 3:
            tell("running")


def activity():
    for n in range(6):
        push = fixture("gitlab", "push")
        push |= {"after": f"{n:040x}", "total_commits_count": n * 15, "user_username": f"user-{n % 3}"}
        push["commits"] = push["commits"] * min(n * 15, 20)
        send("gitlab", "Push Hook", push)
    send("gitlab", "Tag Push Hook", fixture("gitlab", "tag_push"))
    for action in ("open", "update", "approved", "merge", "close", "reopen"):
        request = fixture("gitlab", "merge_request")
        request["object_attributes"]["action"] = action
        send("gitlab", "Merge Request Hook", request)
    for action in ("open", "update", "close"):
        issue = fixture("gitlab", "issue")
        issue["object_attributes"]["action"] = action
        send("gitlab", "Confidential Issue Hook" if action == "update" else "Issue Hook", issue)
    send("gitlab", "Note Hook", fixture("gitlab", "note"))
    for action in ("create", "update", "delete"):
        send("gitlab", "Release Hook", fixture("gitlab", "release") | {"action": action})
    for action in ("create", "update"):
        send("linear", "Issue", fixture("linear", "issue") | {"action": action})
    unnamed = fixture("linear", "issue")
    unnamed["data"]["syncedWith"] = None
    send("linear", "Issue", unnamed)
    send("linear", "Attachment", fixture("linear", "attachment"))


for n in range(PIPELINES):
    run_pipeline(n)
activity()
for n, one in enumerate(sent):
    one["id"] = f"{one['source']}-{SEED}-{n}"
again = [one | ({"id": one["id"] + "-again"} if n % 2 else {}) for n, one in enumerate(sent) if n % 5 == 0]
lines = sent + again
dice.shuffle(lines)
for line in lines:
    print(json.dumps(line, ensure_ascii=False))
