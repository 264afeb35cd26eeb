-- An append wakes only those who sleep, and takes the set-based path from three entries on.
-- depends: 0021_relay_progress

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- PostgreSQL wakes every listening session of the database at each notification, whatever the
-- channel. Whoever sleeps until an append holds this lock in share mode; nobody needs waking
-- while it can be had alone. Waiting for the share waits for the append that has it, so the look
-- at the log that follows sees what that append did not announce.
DO $$
DECLARE
  old text := pg_get_functiondef('ledger_append'::regproc);
  new text := replace(replace(old,
    'NOTIFY events;',
    'IF NOT pg_try_advisory_xact_lock(4716266) THEN NOTIFY events; END IF;'),
    'IF size > 4 THEN', 'IF size > 2 THEN');
BEGIN
  ASSERT length(new) > length(old) AND new LIKE '%size > 2%', 'ledger_append is not as expected';
  EXECUTE new;
END $$;
