-- an effect was applied by an attempt that held a claim, and no step is done whose effect is not applied
SELECT effect.key, attempt.id FROM effect JOIN attempt ON attempt.id = effect.attempt_id
JOIN subtask ON subtask.id = effect.subtask_id
WHERE attempt.fence = 0 OR attempt.claimed_at IS NULL
   OR (subtask.state = 'done' AND effect.applied_at IS NULL)
