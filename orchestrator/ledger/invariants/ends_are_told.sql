-- whatever has ended has told so
SELECT subtask.id, subtask.state FROM subtask
WHERE subtask.ended_at IS NOT NULL AND subtask.job_id IN (SELECT job_id FROM event WHERE seq > :after)
  AND NOT EXISTS (SELECT 1 FROM event WHERE event.job_id = subtask.job_id AND event.subtask_id = subtask.id
                  AND event.kind = 'subtask_moved' AND event.new = subtask.state)
UNION ALL
SELECT job.id, job.state FROM job
WHERE job.ended_at IS NOT NULL AND job.id IN (SELECT job_id FROM event WHERE seq > :after)
  AND NOT EXISTS (SELECT 1 FROM event WHERE event.job_id = job.id
                  AND event.kind = 'job_moved' AND event.new = job.state)
