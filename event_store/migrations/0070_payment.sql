-- Payments as their events have them, and sealed what their payer said of them.
-- depends: 0060_adjustments

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE payment (
  payment_id uuid PRIMARY KEY,
  account_id uuid NOT NULL,
  user_id uuid NOT NULL,
  way text NOT NULL,
  package text NOT NULL,
  amount_minor bigint NOT NULL,
  currency text NOT NULL,
  credits_nano_usd bigint NOT NULL,
  status text NOT NULL DEFAULT 'pending',
  failure text NOT NULL DEFAULT '',
  session_id text NOT NULL DEFAULT '',
  intent_id text NOT NULL DEFAULT '',
  lot_id uuid,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  completed_at timestamptz,
  failed_at timestamptz,
  sealed bytea
);
CREATE INDEX payment_account_id_idx ON payment (account_id, created_at DESC, payment_id DESC);
CREATE INDEX payment_session_id_idx ON payment (session_id) WHERE session_id <> '';
CREATE INDEX payment_intent_id_idx ON payment (intent_id) WHERE intent_id <> '';
CREATE INDEX payment_created_at_idx ON payment (created_at);
GRANT SELECT, INSERT, UPDATE ON payment TO gatewayz_app;
