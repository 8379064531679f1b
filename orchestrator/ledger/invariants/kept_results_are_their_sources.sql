-- what a replay kept is what its source delivered, and nothing was asked for it
SELECT subtask.id, subtask.kept_from, source.state
FROM subtask JOIN job ON job.id = subtask.job_id
LEFT JOIN subtask AS source ON source.id = subtask.kept_from
WHERE subtask.kept_from IS NOT NULL
  AND (source.id IS NULL OR source.state <> 'done' OR subtask.state <> 'done' OR source.kept_from IS NOT NULL OR job.replay_of IS NULL
    OR source.step <> subtask.step OR source.tenant <> subtask.tenant
    OR CAST(source.summary AS TEXT) <> CAST(subtask.summary AS TEXT)
    OR EXISTS (SELECT 1 FROM attempt WHERE attempt.subtask_id = subtask.id))
