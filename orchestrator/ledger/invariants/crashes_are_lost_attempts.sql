-- a subtask counts no more crashes than it lost attempts
SELECT subtask.id, subtask.crashes, count(attempt.id) FROM subtask
LEFT JOIN attempt ON attempt.subtask_id = subtask.id AND attempt.state = 'lost'
WHERE subtask.crashes > 0
GROUP BY subtask.id, subtask.crashes HAVING count(attempt.id) < subtask.crashes
