-- How far idempotency keys are pruned by the log: a key that was last asked for there is forgotten.
-- depends: 0031_app_name

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE idempotency_pruned (
  position bigint NOT NULL,
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row)
) WITH (fillfactor = 50);
INSERT INTO idempotency_pruned (position) VALUES (0);
GRANT SELECT, UPDATE ON idempotency_pruned TO gatewayz_app;
GRANT DELETE ON idempotency_key TO gatewayz_app;
