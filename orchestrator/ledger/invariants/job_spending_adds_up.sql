-- the running total of a job that has a cap of its own is what its attempts that ended have spent
SELECT job.id AS job_id, coalesce(booked.nano_usd, 0) AS booked, coalesce(spent.nano_usd, 0) AS spent FROM job
  LEFT JOIN spending booked ON booked.scope = 'job' AND booked.name = job.id
  LEFT JOIN (SELECT attempt.job_id, sum(CASE WHEN ambiguous AND reserved_nano_usd > cost_nano_usd
                                             THEN reserved_nano_usd ELSE cost_nano_usd END) AS nano_usd
             FROM attempt WHERE ended_at IS NOT NULL GROUP BY attempt.job_id) spent ON spent.job_id = job.id
WHERE job.max_cost_nano_usd IS NOT NULL AND coalesce(booked.nano_usd, 0) <> coalesce(spent.nano_usd, 0)
