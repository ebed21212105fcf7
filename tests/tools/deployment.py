"""Prints what the files of infra/ name: expressions of PromQL, recorded and autoscaled metrics, variables of Hooklog.

Usage: deployment.py INFRA
"""

import json
import sys
from pathlib import Path

import yaml

infra = Path(sys.argv[1])


def documents(path):
    with open(path, encoding="utf-8") as file:
        return [d for d in yaml.safe_load_all(file) if d]


def rules(path):
    for group in documents(path)[0]["groups"]:
        yield from group["rules"]


def panels(of):
    for panel in of.get("panels", []):
        yield panel
        yield from panels(panel)


expressions, recorded, autoscaled, adapted, variables = [], [], [], [], {}


def expression(where, text):
    expressions.append({"where": where, "text": text})


for path in sorted((infra / "prometheus/rules").glob("*.yml")):
    for rule in rules(path):
        expression(f"{path.name} {rule.get('alert') or rule['record']}", rule["expr"])
        recorded += [rule["record"]] if "record" in rule else []

for path in sorted((infra / "grafana/dashboards").glob("*.json")):
    for panel in panels(json.loads(path.read_text(encoding="utf-8"))):
        for target in panel.get("targets", []):
            expression(f"{path.name} {panel['title']}", target["expr"].replace("$__rate_interval", "1m"))

adapter = documents(infra / "prometheus/adapter.yml")[0]
for rule in adapter["externalRules"] + adapter["rules"]:
    series = rule["seriesQuery"]
    adapted.append(series.split("{")[0])
    filled = rule["metricsQuery"].replace("<<.LabelMatchers>>", 'namespace="a"').replace("<<.GroupBy>>", "pod")
    expression("adapter.yml", series)
    expression("adapter.yml", filled)

for path in sorted((infra / "kubernetes").rglob("*.yaml")):
    for document in documents(path):
        if document.get("kind") == "HorizontalPodAutoscaler":
            for metric in document["spec"]["metrics"]:
                for kind in ("external", "pods"):
                    autoscaled += [metric[kind]["metric"]["name"]] if kind in metric else []
        if document.get("kind") == "Deployment":
            for container in document["spec"]["template"]["spec"]["containers"]:
                variables |= {v["name"]: v.get("value") for v in container["env"]}

for service in documents(infra / "compose/compose.yaml")[0]["services"].values():
    if service.get("image", "").startswith("hooklog"):
        variables |= service["environment"]

json.dump(
    {"expressions": expressions, "recorded": recorded, "autoscaled": autoscaled, "adapted": adapted, "variables": sorted(variables)},
    sys.stdout,
)
