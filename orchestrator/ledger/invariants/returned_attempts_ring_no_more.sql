-- no doorbell stands of an attempt that was returned unrun
SELECT doorbell.attempt_id, attempt.state FROM doorbell JOIN attempt ON attempt.id = doorbell.attempt_id
WHERE attempt.state = 'returned'
