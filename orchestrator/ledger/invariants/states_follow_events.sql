-- the state of every subtask is the one its last event tells
SELECT subtask.id, subtask.state, event.new FROM subtask
JOIN event ON event.seq = (SELECT max(seq) FROM event e WHERE e.subtask_id = subtask.id AND e.kind = 'subtask_moved')
WHERE event.new <> subtask.state
