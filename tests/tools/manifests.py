"""Checks manifests of Kubernetes against its own schemas, strictly, and against what a deployment of Hooklog has to have.

Usage: manifests.py [--whole] FILE...   (--whole: the files are all there is, so that every Deployment needs its budget and policy)
"""

import sys

import kubernetes_validate
import yaml

VERSION = "1.32"
problems = []


def problem(where, what):
    problems.append(f"{where}: {what}")


def documents(paths):
    for path in paths:
        with open(path, encoding="utf-8") as file:
            for document in yaml.safe_load_all(file):
                if document is not None and document["kind"] != "Kustomization":
                    yield f"{path} {document['kind']}/{document['metadata']['name']}", document


def validate(where, document):
    try:
        kubernetes_validate.validate(document, VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        problem(where, f"{'.'.join(map(str, error.path))}: {error.message}")


def check_pod(where, pod):
    security = pod.get("securityContext", {})
    if security.get("runAsNonRoot") is not True or not security.get("runAsUser"):
        problem(where, "may run as root")
    if security.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        problem(where, "no seccomp profile")
    if pod.get("automountServiceAccountToken") is not False:
        problem(where, "has a token for the API of Kubernetes")
    for container in pod["containers"]:
        for probe, path in (("livenessProbe", "/health"), ("readinessProbe", "/ready"), ("startupProbe", "/health")):
            if container.get(probe, {}).get("httpGet", {}).get("path") != path:
                problem(where, f"{probe} does not ask {path}")
        own = container.get("securityContext", {})
        if own.get("readOnlyRootFilesystem") is not True:
            problem(where, "may write to its root file system")
        if own.get("allowPrivilegeEscalation") is not False or own.get("capabilities", {}).get("drop") != ["ALL"]:
            problem(where, "may gain privileges")
        if "memory" not in container.get("resources", {}).get("limits", {}):
            problem(where, "no limit of memory")
        for variable in container.get("env", []):
            secret = any(word in variable["name"] for word in ("SECRET", "PASSWORD", "TOKEN", "EVENTSTORE_URL"))
            if secret and "secretKeyRef" not in variable.get("valueFrom", {}):
                problem(where, f"{variable['name']} is no reference to a secret")


def selects(selector, labels):
    wanted = selector.get("matchLabels", {}).items()
    found = all(labels.get(name) == value for name, value in wanted)
    return found and all(labels.get(e["key"]) in e["values"] for e in selector.get("matchExpressions", []))


def check_whole(all_of_them):
    kinds = lambda kind: [d for _, d in all_of_them if d["kind"] == kind]
    for secret in kinds("Secret"):
        problem(secret["metadata"]["name"], "a secret stands in a file")
    scaled = {h["spec"]["scaleTargetRef"]["name"] for h in kinds("HorizontalPodAutoscaler")}
    for deployment in kinds("Deployment"):
        name, labels = deployment["metadata"]["name"], deployment["spec"]["template"]["metadata"]["labels"]
        if not any(selects(b["spec"]["selector"], labels) for b in kinds("PodDisruptionBudget")):
            problem(name, "no disruption budget")
        policies = [p["spec"] for p in kinds("NetworkPolicy") if selects(p["spec"]["podSelector"], labels)]
        closed = [p for p in policies if sorted(p["policyTypes"]) == ["Egress", "Ingress"] and "ingress" not in p and "egress" not in p]
        if not closed:
            problem(name, "no network policy closes it")
        if (name in scaled) == ("replicas" in deployment["spec"]):
            problem(name, "its number has to be either fixed or an autoscaler's")
    for service in kinds("Service"):
        pods = [d["spec"]["template"]["metadata"]["labels"] for d in kinds("Deployment")]
        if not any(selects({"matchLabels": service["spec"]["selector"]}, labels) for labels in pods):
            problem(service["metadata"]["name"], "selects nothing")


def main():
    given = [a for a in sys.argv[1:] if a != "--whole"]
    found = list(documents(given))
    for where, document in found:
        validate(where, document)
        if document["kind"] == "Deployment":
            check_pod(where, document["spec"]["template"]["spec"])
    if "--whole" in sys.argv:
        check_whole(found)
    if problems:
        sys.exit("\n".join(problems))
    print(len(found))


if __name__ == "__main__":
    main()
