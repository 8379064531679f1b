-- an applied effect belongs to one subtask that reported it
SELECT effect.key, subtask.state FROM effect JOIN subtask ON subtask.id = effect.subtask_id
WHERE effect.applied_at IS NOT NULL AND subtask.state IN ('waiting', 'parked', 'skipped')
