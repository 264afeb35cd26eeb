-- The log, in the table layout of the eventsourcing library, with the time of booking.
-- depends: 0001_application_role

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE events (
  originator_id uuid NOT NULL,
  originator_version bigint NOT NULL,
  topic text NOT NULL,
  state bytea NOT NULL,
  notification_id bigserial,
  booked_at timestamptz NOT NULL,
  PRIMARY KEY (originator_id, originator_version)
) WITH (
  autovacuum_vacuum_insert_threshold = 1000000,
  autovacuum_analyze_threshold = 10000
);
CREATE UNIQUE INDEX events_notification_id_idx ON events (notification_id);
ALTER TABLE events ALTER COLUMN state SET STORAGE EXTERNAL;
CREATE TYPE stored_event_uuid AS (
  originator_id uuid, originator_version bigint, topic text, state bytea
);
GRANT SELECT, INSERT ON events TO gatewayz_app;
GRANT USAGE ON SEQUENCE events_notification_id_seq TO gatewayz_app;
