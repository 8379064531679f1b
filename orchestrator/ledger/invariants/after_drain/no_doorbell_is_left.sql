-- every doorbell was rung
SELECT seq, attempt_id FROM doorbell
