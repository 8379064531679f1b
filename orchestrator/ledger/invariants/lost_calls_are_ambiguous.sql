-- an attempt that was lost with a call in its budget is held for a call that was made
SELECT id, budget FROM attempt
WHERE state = 'lost' AND budget IS NOT NULL AND (ambiguous IS NULL OR NOT ambiguous)
