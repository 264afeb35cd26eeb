-- Where each projection stands, and who owns it.
-- depends: 0017_ledger_append

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE projection_progress (
  name text NOT NULL,
  version int NOT NULL,
  host text NOT NULL DEFAULT 'follower',
  position bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (name, version)
);
GRANT SELECT, INSERT, UPDATE ON projection_progress TO gatewayz_app;
