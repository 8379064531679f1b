-- a dead letter has a code and a sentence, and a job that failed or was cancelled says why
SELECT subtask_id, code FROM dead_letter WHERE code = '' OR sentence = ''
UNION ALL
SELECT id, state FROM job WHERE state IN ('failed', 'cancelled') AND why = ''
