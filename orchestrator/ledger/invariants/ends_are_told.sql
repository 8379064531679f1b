-- whatever has ended has told so
SELECT subtask.id, subtask.state FROM subtask LEFT JOIN
  (SELECT subtask_id, new FROM event WHERE kind = 'subtask_moved'
   AND job_id IN (SELECT job_id FROM event WHERE seq > :after)) AS told
  ON told.subtask_id = subtask.id AND told.new = subtask.state
WHERE subtask.ended_at IS NOT NULL AND told.subtask_id IS NULL
  AND subtask.job_id IN (SELECT job_id FROM event WHERE seq > :after)
UNION ALL
SELECT job.id, job.state FROM job LEFT JOIN
  (SELECT job_id, new FROM event WHERE kind = 'job_moved'
   AND job_id IN (SELECT job_id FROM event WHERE seq > :after)) AS told
  ON told.job_id = job.id AND told.new = job.state
WHERE job.ended_at IS NOT NULL AND told.job_id IS NULL
  AND job.id IN (SELECT job_id FROM event WHERE seq > :after)
