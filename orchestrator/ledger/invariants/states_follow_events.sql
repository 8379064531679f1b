-- the state of every subtask and of every job is the one its last event tells
SELECT subtask.id, subtask.state, event.new FROM
  (SELECT subtask_id, max(seq) AS seq FROM event
   WHERE kind = 'subtask_moved' AND seq > :after GROUP BY subtask_id) AS last
JOIN event ON event.seq = last.seq JOIN subtask ON subtask.id = last.subtask_id
WHERE event.new <> subtask.state
UNION ALL
SELECT job.id, job.state, event.new FROM
  (SELECT job_id, max(seq) AS seq FROM event
   WHERE kind = 'job_moved' AND seq > :after GROUP BY job_id) AS last
JOIN event ON event.seq = last.seq JOIN job ON job.id = last.job_id
WHERE event.new <> job.state
