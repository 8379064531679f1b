-- an attempt ran only at a fence that a claim gave it, and nothing is accepted of it without a report
SELECT id, state, fence FROM attempt
WHERE (fence > 0) <> (state NOT IN ('dispatched', 'returned'))
   OR (fence > 0) <> (claimed_at IS NOT NULL)
   OR (state IN ('reported', 'settled') AND reported_at IS NULL)
