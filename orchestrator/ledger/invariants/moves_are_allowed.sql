-- every move of a job or a subtask is one that contracts/states.py allows
SELECT seq, kind, old, new FROM event
WHERE seq > :after AND kind IN ('job_moved', 'subtask_moved') AND old IS NOT NULL
  AND kind || ' ' || old || ' ' || new NOT IN :allowed
