-- a step of a person is done only by an approval, unless a replay took its result over
SELECT subtask.id, subtask.name FROM subtask LEFT JOIN approval ON approval.subtask_id = subtask.id
WHERE subtask.lane IS NULL AND subtask.state = 'done' AND subtask.kept_from IS NULL
  AND (approval.state IS NULL OR approval.state <> 'approved')
