-- Inline state: one row an account; its sums are checked by the database (P1).
-- depends: 0006_process_lease

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE credit_account (
  account_id uuid PRIMARY KEY,
  version bigint NOT NULL DEFAULT 0,
  granted bigint NOT NULL DEFAULT 0,
  available bigint NOT NULL DEFAULT 0 CHECK (available >= 0),
  held bigint NOT NULL DEFAULT 0 CHECK (held >= 0),
  settled bigint NOT NULL DEFAULT 0 CHECK (settled >= 0),
  breakage bigint NOT NULL DEFAULT 0 CHECK (breakage >= 0),
  next_expiry timestamptz NOT NULL DEFAULT 'infinity',
  CHECK (granted = available + held + settled + breakage)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
GRANT SELECT, INSERT, UPDATE ON credit_account TO gatewayz_app;
