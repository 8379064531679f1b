-- whatever belongs to a job is of its tenant, and so is what the job follows, replays or replaces, and what it was handed
WITH lately AS (SELECT id, tenant, origin, replay_of, lineage, replaces FROM job
                WHERE id IN (SELECT job_id FROM event WHERE seq > :after))
SELECT subtask.id, subtask.tenant, lately.tenant FROM lately
JOIN subtask ON subtask.job_id = lately.id WHERE subtask.tenant <> lately.tenant
UNION ALL
SELECT dead_letter.subtask_id, dead_letter.tenant, lately.tenant FROM lately
JOIN dead_letter ON dead_letter.job_id = lately.id WHERE dead_letter.tenant <> lately.tenant
UNION ALL
SELECT approval.id, approval.tenant, lately.tenant FROM lately
JOIN approval ON approval.job_id = lately.id WHERE approval.tenant <> lately.tenant
UNION ALL
SELECT webhook.id, webhook.tenant, lately.tenant FROM lately
JOIN webhook ON webhook.job_id = lately.id WHERE webhook.tenant <> lately.tenant
UNION ALL
SELECT blocker.id, blocker.tenant, lately.tenant FROM lately
JOIN blocker ON lately.id IN (blocker.job_id, blocker.supply_job_id) WHERE blocker.tenant <> lately.tenant
UNION ALL
SELECT supply.subtask_id, supplier.tenant, lately.tenant FROM lately
JOIN subtask ON subtask.job_id = lately.id
JOIN supply ON supply.subtask_id = subtask.id
JOIN subtask AS supplier ON supplier.id = supply.supplied_by WHERE supplier.tenant <> lately.tenant
UNION ALL
SELECT lately.id, earlier.tenant, lately.tenant FROM lately
JOIN job AS earlier ON earlier.id IN (lately.replay_of, lately.lineage, lately.replaces)
WHERE earlier.tenant <> lately.tenant
UNION ALL
SELECT lately.id, earlier.tenant, lately.tenant FROM lately
JOIN job AS earlier ON earlier.id = lately.origin
WHERE earlier.tenant <> lately.tenant AND lately.tenant <> 'fleet' -- whose re-reviews are of everybody's work
