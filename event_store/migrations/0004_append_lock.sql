-- Every insert takes one lock, so that positions become visible in order (P7).
-- depends: 0003_booking_time

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE FUNCTION take_append_lock() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(4716259);
  RETURN NULL;
END $$;
CREATE TRIGGER events_append_lock BEFORE INSERT ON events
  FOR EACH STATEMENT EXECUTE FUNCTION take_append_lock();
