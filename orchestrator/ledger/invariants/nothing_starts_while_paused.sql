-- nothing was claimed that a switch in force held, but for what was being claimed at that very moment
SELECT attempt.id, pause.scope, pause.name FROM pause
JOIN attempt ON attempt.claimed_at > pause.at + 1
 AND (pause.until IS NULL OR attempt.claimed_at < pause.until)
JOIN subtask ON subtask.id = attempt.subtask_id
JOIN job ON job.id = attempt.job_id
WHERE attempt.ended_at IS NULL AND (pause.scope = 'fleet'
   OR (pause.scope = 'lane' AND pause.name = attempt.lane)
   OR (pause.scope = 'vendor' AND pause.name = subtask.vendor)
   OR (pause.scope = 'tenant' AND pause.name = job.tenant)
   OR (pause.scope = 'workflow' AND pause.name = job.workflow))
