-- Whole keys, encrypted with the installation's secret. Not derived from the log: a replay leaves it.
-- depends: 0041_key_limits

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE sealed_api_key (
  key_hash text PRIMARY KEY,
  key_id uuid NOT NULL,
  sealed bytea NOT NULL
);
CREATE INDEX sealed_api_key_key_id_idx ON sealed_api_key (key_id);
GRANT SELECT, INSERT, UPDATE, DELETE ON sealed_api_key TO gatewayz_app;
