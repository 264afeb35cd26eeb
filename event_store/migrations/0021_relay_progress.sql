-- How far the relay has produced a topic, and the last position it gave each partition.
-- depends: 0020_projections

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE relay_progress (
  topic text PRIMARY KEY,
  position bigint NOT NULL,
  last_positions bigint[] NOT NULL
) WITH (fillfactor = 50);
GRANT SELECT, INSERT, UPDATE ON relay_progress TO gatewayz_app;
