-- Read model: balances and lots of each account, and its statement.
-- depends: 0018_projection_progress

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE read_account_balance_v1 (
  account_id uuid PRIMARY KEY,
  granted bigint NOT NULL,
  available bigint NOT NULL,
  held bigint NOT NULL,
  settled bigint NOT NULL,
  breakage bigint NOT NULL,
  house_loss bigint NOT NULL,
  requests bigint NOT NULL,
  tokens bigint NOT NULL,
  position bigint NOT NULL
) WITH (fillfactor = 70);
CREATE TABLE read_credit_lot_v1 (
  lot_id uuid PRIMARY KEY,
  account_id uuid NOT NULL,
  kind text NOT NULL,
  granted bigint NOT NULL,
  available bigint NOT NULL,
  granted_at timestamptz NOT NULL,
  expires_at timestamptz
) WITH (fillfactor = 70);
CREATE INDEX read_credit_lot_v1_account_idx ON read_credit_lot_v1 (account_id);
CREATE TABLE read_credit_statement_v1 (
  position bigint PRIMARY KEY,
  account_id uuid NOT NULL,
  event_id uuid NOT NULL,
  transaction_type text NOT NULL,
  amount bigint NOT NULL,
  balance_before bigint NOT NULL,
  balance_after bigint NOT NULL,
  house_loss bigint NOT NULL,
  description text NOT NULL,
  call_id uuid,
  payment_id text,
  booked_at timestamptz NOT NULL,
  effective_at timestamptz NOT NULL
);
CREATE INDEX read_credit_statement_v1_account_idx
  ON read_credit_statement_v1 (account_id, position DESC);
GRANT SELECT, INSERT, UPDATE, DELETE
  ON read_account_balance_v1, read_credit_lot_v1, read_credit_statement_v1 TO gatewayz_app;
