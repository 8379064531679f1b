-- no process holds two suspects: lost with both, nobody would know whose crash it was
SELECT worker, COUNT(*) FROM attempt
WHERE suspect AND state = 'running' AND ended_at IS NULL AND vendor_batch_id IS NULL
GROUP BY worker HAVING COUNT(*) > 1
