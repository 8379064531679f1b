-- whatever cost money says which vendor and model it paid
SELECT id FROM attempt WHERE cost_nano_usd > 0 AND (vendor IS NULL OR model IS NULL OR simulated IS NULL)
