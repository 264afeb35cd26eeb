-- Inline state: the lots of each account, in burn-down order.
-- depends: 0007_credit_account

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE credit_lot (
  lot_id uuid PRIMARY KEY,
  account_id uuid NOT NULL,
  kind text NOT NULL,
  priority smallint NOT NULL,
  expires_at timestamptz NOT NULL DEFAULT 'infinity',
  sequence bigint NOT NULL,
  available bigint NOT NULL CHECK (available >= 0),
  held bigint NOT NULL DEFAULT 0 CHECK (held >= 0)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX credit_lot_burn_down_idx ON credit_lot (account_id, priority, expires_at, sequence);
GRANT SELECT, INSERT, UPDATE, DELETE ON credit_lot TO gatewayz_app;
