-- every move starts from the state in which the one before it ended
SELECT seq, previous, old, new FROM (
  SELECT seq, old, new, lag(new) OVER (PARTITION BY kind, coalesce(subtask_id, job_id) ORDER BY seq) AS previous
  FROM event WHERE seq > :after AND kind IN ('job_moved', 'subtask_moved')) AS moves
WHERE old <> previous OR (old IS NULL AND previous IS NOT NULL) OR (old IS NOT NULL AND previous IS NULL AND :after = 0)
