-- whoever asked did not approve, and what was approved is what was asked about
SELECT id, requested_by, answered_by FROM approval
WHERE state = 'approved' AND (answered_by IS NULL OR answered_by = requested_by OR answered_digest <> digest)
