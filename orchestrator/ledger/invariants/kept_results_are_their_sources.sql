-- what a replay kept is what its source delivered, in the chain of jobs that it replays
SELECT subtask.id, subtask.kept_from, source.state
FROM subtask JOIN job ON job.id = subtask.job_id
LEFT JOIN subtask AS source ON source.id = subtask.kept_from
LEFT JOIN job AS first ON first.id = source.job_id
WHERE subtask.kept_from IS NOT NULL
  AND (source.id IS NULL OR source.state <> 'done' OR subtask.state <> 'done' OR source.kept_from IS NOT NULL
    OR source.step <> subtask.step OR source.tenant <> subtask.tenant
    OR coalesce(first.lineage, first.id) <> job.lineage
    OR CAST(source.summary AS TEXT) <> CAST(subtask.summary AS TEXT)
    OR EXISTS (SELECT 1 FROM attempt WHERE attempt.subtask_id = subtask.id))
