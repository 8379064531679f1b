-- an ended job has no open subtask
SELECT subtask.id, subtask.state FROM subtask JOIN job ON job.id = subtask.job_id
WHERE job.ended_at IS NOT NULL AND subtask.ended_at IS NULL
