-- an applied effect belongs to one subtask that reported it, and its intent came first
SELECT effect.key, subtask.state FROM effect JOIN subtask ON subtask.id = effect.subtask_id
WHERE effect.applied_at IS NOT NULL
  AND (effect.intended_at > effect.applied_at OR subtask.state IN ('waiting', 'parked', 'skipped'))
