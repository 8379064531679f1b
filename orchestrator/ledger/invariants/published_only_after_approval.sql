-- no page stands in a lasting site without an approval of its job
SELECT effect.key, subtask.job_id FROM effect JOIN subtask ON subtask.id = effect.subtask_id
WHERE effect.target LIKE 'site:%' AND effect.applied_at IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM approval WHERE approval.job_id = subtask.job_id AND approval.state = 'approved')
