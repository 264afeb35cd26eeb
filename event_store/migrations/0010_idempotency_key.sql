-- Inline state: idempotency keys with the digest of their first input (P3).
-- depends: 0009_open_hold

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE idempotency_key (
  key_hash bytea PRIMARY KEY,
  digest bytea NOT NULL,
  call_id uuid NOT NULL,
  state text NOT NULL CHECK (state IN ('held', 'settled', 'voided', 'expired', 'refused')),
  needed bigint NOT NULL DEFAULT 0,
  available bigint NOT NULL DEFAULT 0
);
GRANT SELECT, INSERT, UPDATE ON idempotency_key TO gatewayz_app;
