-- the moment of an end stands with what has ended, and with nothing else
SELECT id, state FROM job WHERE (state IN ('done', 'failed', 'cancelled')) <> (ended_at IS NOT NULL)
UNION ALL
SELECT id, state FROM subtask
WHERE (state IN ('done', 'dead', 'skipped', 'cancelled')) <> (ended_at IS NOT NULL)
UNION ALL
SELECT id, state FROM attempt WHERE (state IN ('settled', 'returned', 'lost')) <> (ended_at IS NOT NULL)
