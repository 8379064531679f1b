-- an answer that was given again is an accepted one, of the same question and the same tenant
SELECT subtask.id, subtask.answered_by FROM subtask LEFT JOIN subtask AS first ON first.id = subtask.answered_by
WHERE subtask.answered_by IS NOT NULL
  AND (first.id IS NULL OR first.state <> 'done' OR first.answered_by IS NOT NULL OR subtask.state <> 'done'
    OR first.tenant <> subtask.tenant OR first.repeat_key <> subtask.repeat_key)
