-- What a key gives to another it has left: looked at where it is saved, under the lock of the append.
-- depends: 0055_prune_quota_windows

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE FUNCTION require_quota_room(of_quota uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (
    SELECT FROM quota q JOIN quota_window w ON w.quota_id = q.quota_id AND w.begins = 'epoch'
    WHERE q.quota_id = of_quota AND w.used + w.held > q.quota_limit
  ) THEN
    RAISE EXCEPTION 'the quota was used meanwhile' USING
      ERRCODE = 'check_violation', CONSTRAINT = 'quota_room', TABLE = 'quota_window';
  END IF;
END $$;
