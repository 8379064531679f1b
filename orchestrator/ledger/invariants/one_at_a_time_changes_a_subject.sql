-- of all the attempts under way at most one changes a subject
SELECT subject, COUNT(*) FROM subtask
WHERE subject IS NOT NULL AND ended_at IS NULL AND state IN ('dispatched', 'running')
GROUP BY subject HAVING COUNT(*) > 1
