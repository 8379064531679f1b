-- no page stands in a lasting site without an approval of its job, or of the one whose approval a replay took over
SELECT effect.key, subtask.job_id FROM effect JOIN subtask ON subtask.id = effect.subtask_id
WHERE effect.target LIKE 'site:%' AND effect.applied_at IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM approval WHERE approval.job_id = subtask.job_id AND approval.state = 'approved')
  AND NOT EXISTS (SELECT 1 FROM subtask AS kept JOIN approval ON approval.subtask_id = kept.kept_from
                  WHERE kept.job_id = subtask.job_id AND approval.state = 'approved')
