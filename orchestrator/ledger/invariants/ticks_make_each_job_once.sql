-- a job of the clock belongs to one tick
SELECT job_id, count(*) FROM tick WHERE job_id IS NOT NULL GROUP BY job_id HAVING count(*) > 1
