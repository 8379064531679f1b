-- where nobody knows whether an effect was applied, a person was called
SELECT effect.key, subtask.state FROM effect JOIN subtask ON subtask.id = effect.subtask_id
WHERE effect.applied_at IS NULL AND effect.called_at IS NULL AND effect.replay_class <> 'read_only'
  AND subtask.state IN ('dead', 'cancelled', 'skipped')
