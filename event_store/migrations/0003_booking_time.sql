-- booked_at is set by the database's clock and never goes back.
-- depends: 0002_events

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE FUNCTION booking_clock() RETURNS timestamptz LANGUAGE sql VOLATILE AS
$$ SELECT clock_timestamp() $$;
CREATE FUNCTION booking_time() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
  SELECT greatest(
    booking_clock(), (SELECT booked_at FROM events ORDER BY notification_id DESC LIMIT 1))
$$;
CREATE FUNCTION iso_instant(instant timestamptz) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT to_char(instant AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') $$;
ALTER TABLE events ALTER COLUMN booked_at SET DEFAULT booking_time();
