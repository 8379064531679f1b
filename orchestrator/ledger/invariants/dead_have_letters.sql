-- every dead subtask has its dead letter, and no other has one
SELECT subtask.id, subtask.state, dead_letter.subtask_id FROM subtask
LEFT JOIN dead_letter ON dead_letter.subtask_id = subtask.id
WHERE (subtask.state = 'dead') <> (dead_letter.subtask_id IS NOT NULL)
