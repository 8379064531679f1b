-- what was accepted has ended: every job, every subtask and every attempt
SELECT id, state FROM job WHERE ended_at IS NULL
UNION ALL
SELECT id, state FROM subtask WHERE ended_at IS NULL
UNION ALL
SELECT id, state FROM attempt WHERE ended_at IS NULL
