-- what is reserved, used and spent is never below nothing
SELECT id, reserved_nano_usd AS nano_usd FROM attempt
WHERE reserved_nano_usd < 0 OR cost_nano_usd < 0 OR reserved_input_tokens < 0 OR reserved_output_tokens < 0
   OR input_tokens < 0 OR cached_input_tokens < 0 OR output_tokens < 0
UNION ALL
SELECT scope || '/' || name || '/' || period, nano_usd FROM spending WHERE nano_usd < 0
