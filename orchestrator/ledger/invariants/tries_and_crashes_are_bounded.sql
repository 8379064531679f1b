-- no subtask was tried 21 times on one rung or crashed 11 times, since no lane may allow more than 20 and 10
SELECT id, tries, tries_below_rung, crashes FROM subtask WHERE tries - tries_below_rung > 20 OR crashes > 10
