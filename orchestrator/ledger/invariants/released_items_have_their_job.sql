-- whatever a replay released is a job that replays what was selected, and nothing else is
SELECT replay_item.replay_id, replay_item.job_id, replay_item.state, replay_item.new_job_id
FROM replay_item LEFT JOIN job ON job.id = replay_item.new_job_id
WHERE (replay_item.state IN ('released', 'done', 'failed')) <> (replay_item.new_job_id IS NOT NULL)
   OR (replay_item.new_job_id IS NOT NULL
       AND (job.replay_of IS NULL OR job.replay_of <> replay_item.job_id OR job.replay_id <> replay_item.replay_id))
UNION ALL
SELECT job.replay_id, job.replay_of, job.state, job.id FROM job
LEFT JOIN replay_item ON replay_item.new_job_id = job.id
WHERE job.replay_of IS NOT NULL AND replay_item.replay_id IS NULL
