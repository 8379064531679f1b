-- a subtask that is granted, run or handed in has exactly one open attempt, and that is as far as itself
SELECT subtask.id, subtask.state, count(attempt.id) FROM subtask
LEFT JOIN attempt ON attempt.subtask_id = subtask.id AND attempt.ended_at IS NULL
WHERE subtask.ended_at IS NULL AND subtask.state IN ('dispatched', 'running', 'submitted')
GROUP BY subtask.id, subtask.state
HAVING count(attempt.id) <> 1
  OR min(attempt.state) <> CASE subtask.state WHEN 'submitted' THEN 'running' ELSE subtask.state END
