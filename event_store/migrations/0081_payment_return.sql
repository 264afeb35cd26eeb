-- Inline state: refunds and disputes of payments, what taking them cost, and payouts, as their events have them.
-- depends: 0080_issued_statement

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE payment_return (
  object_id text PRIMARY KEY,
  payment_id uuid NOT NULL,
  kind text NOT NULL,
  phase text NOT NULL,
  amount_minor bigint NOT NULL CHECK (amount_minor > 0),
  currency text NOT NULL,
  credits_nano_usd bigint NOT NULL CHECK (credits_nano_usd >= 0),
  reason text NOT NULL DEFAULT '',
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL
);
CREATE INDEX payment_return_payment_id_idx ON payment_return (payment_id, created_at);
CREATE INDEX payment_return_created_at_idx ON payment_return (created_at);

CREATE TABLE payment_cost (
  source_id text NOT NULL,
  kind text NOT NULL,
  payment_id uuid NOT NULL,
  amount_minor bigint NOT NULL,
  currency text NOT NULL,
  amount_nano_usd bigint NOT NULL,
  created_at timestamptz NOT NULL,
  PRIMARY KEY (source_id, kind)
);
CREATE INDEX payment_cost_payment_id_idx ON payment_cost (payment_id);
CREATE INDEX payment_cost_created_at_idx ON payment_cost (created_at);

CREATE TABLE payout (
  payout_id text PRIMARY KEY,
  stream_id uuid NOT NULL,
  paid boolean NOT NULL,
  amount_minor bigint NOT NULL,
  currency text NOT NULL,
  amount_nano_usd bigint NOT NULL,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL
);
CREATE INDEX payout_created_at_idx ON payout (created_at);

GRANT SELECT, INSERT, UPDATE ON payment_return, payment_cost, payout TO gatewayz_app;
