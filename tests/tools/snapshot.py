"""Prints what the API and the stable views say, in a form that is the same before and after a rebuild.

Usage: snapshot.py --data DIR --url URL
"""

import argparse
import json
import sys

import answers
import engines

# Rows hold no time of their making, so that they can be compared value by value.
VIEWS = ("webhook_events", "webhook_metrics", "webhook_event_stats", "repository_activity", "repository_stats", "jobs", "job_metrics", "workflow_runs", "runners")


def view(client, name):
    rows = client.query(f"SELECT * FROM {name}")
    return {"columns": list(rows.column_names), "rows": sorted(json.dumps(row, default=str) for row in rows.result_rows)}


def without(data, *names):
    return {name: value for name, value in data.items() if name not in names}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--url", required=True)
    given = parser.parse_args()
    client = engines.clickhouse(given.data)
    told = {name: view(client, name) for name in VIEWS}
    told["events"] = answers.pages(given.url, "/webhooks/events", "events")
    told["statistics"] = without(answers.ask(given.url, "/webhooks/statistics"), "timeWindow", "series")
    told["repositories"] = without(answers.ask(given.url, "/repositories", limit=1000), "timeWindow")
    told["job pages"] = answers.pages(given.url, "/jobs", "jobs")
    told["job figures"] = without(answers.ask(given.url, "/jobs/metrics"), "timeWindow")
    told["runs"] = answers.pages(given.url, "/workflow-runs", "workflowRuns")
    told["pool"] = answers.ask(given.url, "/runners/pool/status")
    json.dump(told, sys.stdout, sort_keys=True)


if __name__ == "__main__":
    main()
