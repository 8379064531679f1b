-- an attempt under way belongs to a subtask under way, and a subtask has at most one
SELECT subtask.id, subtask.state, count(attempt.id) FROM attempt JOIN subtask ON subtask.id = attempt.subtask_id
WHERE attempt.state = 'running' AND attempt.ended_at IS NULL
GROUP BY subtask.id, subtask.state
HAVING count(attempt.id) > 1 OR subtask.state NOT IN ('running', 'submitted', 'cancelled')
