-- an applied effect belongs to one subtask that reported it, or a person says that it was applied
SELECT effect.key, subtask.state FROM effect JOIN subtask ON subtask.id = effect.subtask_id
WHERE effect.applied_at IS NOT NULL AND effect.settled_by IS NULL AND subtask.state IN ('waiting', 'parked', 'skipped')
