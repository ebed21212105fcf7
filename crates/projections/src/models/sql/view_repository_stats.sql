SELECT
    a.tenant AS tenant,
    argMax(a.repository, a.last_at) AS repository,
    a.repository_key AS repository_key,
    sum(a.events) AS total_events,
    any(c.contributors) AS contributors,
    sumIf(a.events, a.event IN ('push', 'tag_push')) AS pushes,
    sum(a.commits) AS commits,
    sumIf(a.events, (a.event = 'pull_request' AND a.action = 'opened') OR (a.event = 'merge_request' AND a.action = 'open')) AS pull_requests_opened,
    sumIf(a.events, (a.event = 'pull_request' AND a.action = 'closed') OR (a.event = 'merge_request' AND a.action IN ('close', 'merge'))) AS pull_requests_closed,
    sum(a.merged) AS pull_requests_merged,
    sumIf(a.events, (a.event = 'issues' AND a.action = 'opened') OR (a.event = 'issue' AND a.action = 'open') OR (a.event = 'Issue' AND a.action = 'create')) AS issues_opened,
    sumIf(a.events, (a.event = 'issues' AND a.action = 'closed') OR (a.event = 'issue' AND a.action = 'close')) AS issues_closed,
    sumIf(a.events, a.event = 'release' AND a.action IN ('published', 'create')) AS releases,
    any(r.stars) AS stars,
    any(r.forks) AS forks,
    any(r.open_issues) AS open_issues,
    max(a.last_at) AS last_activity
FROM (SELECT * FROM {repository_activity} FINAL) AS a
LEFT JOIN
(
    SELECT tenant, repository_key, uniqExact(sender) AS contributors
    FROM {repository_contributors} FINAL
    GROUP BY tenant, repository_key
) AS c ON c.tenant = a.tenant AND c.repository_key = a.repository_key
LEFT JOIN (SELECT * FROM {repositories} FINAL) AS r
    ON r.tenant = a.tenant AND r.repository_key = a.repository_key
GROUP BY a.tenant, a.repository_key
