-- What a key has left counts on cells too.
-- depends: 0058_quota_cell_append

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE OR REPLACE FUNCTION require_quota_room(of_quota uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (
    SELECT FROM quota q CROSS JOIN LATERAL quota_now(q.account_id, q.quota_id, 'epoch') w
    WHERE q.quota_id = of_quota AND w.used + w.held > q.quota_limit
  ) THEN
    RAISE EXCEPTION 'the quota was used meanwhile' USING
      ERRCODE = 'check_violation', CONSTRAINT = 'quota_room', TABLE = 'quota_window';
  END IF;
END $$;
