-- Accounts are topped up by a process manager, which the log wakes: nobody leases them any more (`leased_until` is not used). It begins where the log ends now, and looks once at every account that wants it.
-- depends: 0097_close_lot

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

DROP INDEX auto_top_up_looked_after_idx;
ALTER TABLE auto_top_up ADD COLUMN asleep_until timestamptz NOT NULL DEFAULT '-infinity';
INSERT INTO process_manager (name, position)
SELECT 'top_ups', coalesce(max(notification_id), 0) FROM events
ON CONFLICT (name) DO NOTHING;
INSERT INTO manager_wish (manager, key, kind, position, details)
SELECT 'top_ups', 'look at ' || account_id, 'look', 0, jsonb_build_object('account_id', account_id)
FROM auto_top_up WHERE enabled AND under_way IS NULL
UNION ALL
SELECT 'top_ups', 'charge ' || under_way, 'charge', 0,
  jsonb_build_object('account_id', account_id, 'payment_id', under_way)
FROM auto_top_up WHERE under_way IS NOT NULL
ON CONFLICT (manager, key) DO NOTHING;
