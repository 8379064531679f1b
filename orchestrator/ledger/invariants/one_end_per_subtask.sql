-- every subtask and every job ends at most once
SELECT coalesce(subtask_id, job_id), count(*) FROM event
WHERE ((kind = 'subtask_moved' AND new IN ('done', 'dead', 'skipped', 'cancelled'))
    OR (kind = 'job_moved' AND new IN ('done', 'failed', 'cancelled')))
  AND job_id IN (SELECT job_id FROM event WHERE seq > :after)
GROUP BY coalesce(subtask_id, job_id), kind HAVING count(*) > 1
