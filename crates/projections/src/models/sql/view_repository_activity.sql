SELECT
    a.tenant AS tenant,
    argMax(a.repository, a.last_at) AS repository,
    a.repository_key AS repository_key,
    a.minute AS timestamp,
    a.event AS event,
    a.action AS action,
    sum(a.events) AS events,
    sum(a.commits) AS commits,
    sum(a.merged) AS merged,
    max(a.last_at) AS last_at
FROM {repository_activity} AS a FINAL
GROUP BY a.tenant, a.repository_key, a.minute, a.event, a.action
