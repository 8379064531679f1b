-- nothing was claimed after a switch in force was set for it, but for what was being claimed at that very moment
SELECT attempt.id, held.scope, held.name FROM
  (SELECT scope, name, at, until,
     (SELECT event.seq FROM event
      WHERE event.kind = 'paused' AND substr(event.sentence, 1, length(words)) = words
      ORDER BY event.seq DESC LIMIT 1) AS seq
   FROM (SELECT scope, name, pause.at AS at, until,
           CASE scope WHEN 'fleet' THEN 'the fleet is ' ELSE scope || ' ' || name || ' is ' END AS words
         FROM pause) AS called) AS held
JOIN attempt ON attempt.claimed_at > held.at + 1 AND (held.until IS NULL OR attempt.claimed_at < held.until)
JOIN subtask ON subtask.id = attempt.subtask_id
JOIN job ON job.id = attempt.job_id
WHERE attempt.ended_at IS NULL AND (held.scope = 'fleet'
   OR (held.scope = 'lane' AND held.name = attempt.lane)
   OR (held.scope = 'vendor' AND held.name = subtask.vendor)
   OR (held.scope = 'tenant' AND held.name = job.tenant)
   OR (held.scope = 'workflow' AND held.name = job.workflow))
  AND EXISTS (SELECT 1 FROM event AS claim WHERE claim.job_id = attempt.job_id AND claim.attempt_id = attempt.id
              AND claim.kind = 'subtask_moved' AND claim.new = 'running' AND claim.seq > held.seq)
