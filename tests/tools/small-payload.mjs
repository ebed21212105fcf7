// Small payloads with what Hooklog reads of them, in any number.

const STATES = ["queued", "in_progress", "completed"];

/** The n-th small payload, [event, payload]: pushes, jobs in every state, pull requests, issues, stars. */
export function payload(n, prefix, repositories) {
  const id = n % repositories;
  const repository = { id, full_name: `Octo-Org/repo.${id}`, name: `repo.${id}`, owner: { login: "Octo-Org" } };
  const common = { repository, sender: { login: `user-${n % 7}`, id: n % 7 }, serial: `${prefix}-${n}` };
  switch (n % 5) {
    case 0:
      return ["push", { ref: "refs/heads/main", before: "0", after: String(n), commits: [], ...common }];
    case 1:
      return ["workflow_job", { action: STATES[n % 3], workflow_job: job(n), ...common }];
    case 2:
      return ["pull_request", { action: n % 2 ? "opened" : "closed", number: n, pull_request: { id: n, number: n, merged: false }, ...common }];
    case 3:
      return ["issues", { action: "opened", issue: { id: n, number: n, title: `Fehler № ${n}` }, ...common }];
    default:
      return ["star", { action: "created", starred_at: at(n), ...common }];
  }
}

function job(n) {
  const status = STATES[n % 3];
  return {
    id: 1_000_000 + Math.floor(n / 15),
    run_id: 500_000 + Math.floor(n / 60),
    run_attempt: 1,
    name: `build ${n % 4}`,
    workflow_name: "CI",
    status,
    conclusion: status === "completed" ? (n % 4 ? "success" : "failure") : null,
    created_at: at(n),
    started_at: at(n + 7),
    completed_at: status === "completed" ? at(n + 60) : null,
    labels: ["ubuntu-latest", n % 2 ? "deploy" : "small"],
    runner_id: n % 3,
    runner_name: `runner ${n % 3}`,
    head_branch: "main",
    head_sha: String(n),
  };
}

function at(n) {
  return new Date(Date.UTC(2026, 0, 1) + n * 1000).toISOString().replace(".000", "");
}
