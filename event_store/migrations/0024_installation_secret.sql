-- The fingerprints of the installation's secrets, so that a wrong one does not serve; and what keys made
-- under a retired one are hashed with, sealed with the present one. Not derived from the log: a replay leaves it.
-- depends: 0023_ledger_append_whole

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE installation_secret (
  generation int PRIMARY KEY CHECK (generation > 0),
  fingerprint text NOT NULL UNIQUE,
  since timestamptz NOT NULL DEFAULT clock_timestamp(),
  sealed_hash_key bytea
);
GRANT SELECT, INSERT, UPDATE ON installation_secret TO gatewayz_app;
