SELECT
    r.tenant AS tenant,
    r.replay AS replay,
    if(s.status = '', 'running', s.status) AS status,
    r.filter_json AS filter_json,
    r.delivery AS delivery,
    toString(r.target) AS target,
    r.destinations AS destinations,
    r.dead_only AS dead_only,
    r.rate_per_second AS rate_per_second,
    r.to_position AS to_position,
    if(s.status = 'completed', r.to_position, s.upto) AS upto,
    r.expected AS expected,
    s.counts.1 AS matched,
    s.counts.2 AS requested,
    s.counts.3 AS skipped,
    r.requested_by AS requested_by,
    r.reason AS reason,
    s.error AS error,
    s.cancelled_by AS cancelled_by,
    r.requested_at AS requested_at,
    if(s.status = '', r.requested_at, s.updated_at) AS updated_at
FROM (SELECT * FROM {replays} FINAL) AS r
LEFT JOIN
(
    SELECT
        tenant,
        replay,
        toString(argMax(state, position)) AS status,
        argMaxIf(upto, position, state = 'running') AS upto,
        argMaxIf(tuple(matched, requested, skipped), position, state != 'cancelled') AS counts,
        max(error) AS error,
        max(cancelled_by) AS cancelled_by,
        argMax(stated_at, position) AS updated_at
    FROM {replay_states} FINAL
    GROUP BY tenant, replay
) AS s ON s.tenant = r.tenant AND s.replay = r.replay
