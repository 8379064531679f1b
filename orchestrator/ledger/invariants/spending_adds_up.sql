-- the running total that caps are held against is what the attempts that ended have spent
SELECT booked.nano_usd AS booked, spent.nano_usd AS spent FROM
  (SELECT coalesce(sum(nano_usd), 0) AS nano_usd FROM spending WHERE scope = 'fleet' AND period = 'total') booked,
  (SELECT coalesce(sum(CASE WHEN ambiguous AND reserved_nano_usd > cost_nano_usd
                            THEN reserved_nano_usd ELSE cost_nano_usd END), 0) AS nano_usd
   FROM attempt WHERE ended_at IS NOT NULL) spent
WHERE booked.nano_usd <> spent.nano_usd
