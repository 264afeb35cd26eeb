-- Inline state: the invoices of subscriptions that were paid, what went back of them, and what they cost.
-- depends: 0095_kept_response

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE subscription_invoice (
  invoice_id text PRIMARY KEY,
  stream uuid NOT NULL,
  account_id uuid NOT NULL,
  amount_minor bigint NOT NULL,
  currency text NOT NULL,
  allowance_nano_usd bigint NOT NULL,
  lot_id uuid,
  created_at timestamptz NOT NULL
);
CREATE INDEX subscription_invoice_created_at_idx ON subscription_invoice (created_at);

CREATE TABLE subscription_return (
  object_id text PRIMARY KEY,
  invoice_id text NOT NULL,
  kind text NOT NULL,
  phase text NOT NULL,
  amount_minor bigint NOT NULL CHECK (amount_minor > 0),
  currency text NOT NULL,
  credits_nano_usd bigint NOT NULL CHECK (credits_nano_usd >= 0),
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL
);
CREATE INDEX subscription_return_created_at_idx ON subscription_return (created_at);

CREATE TABLE subscription_cost (
  source_id text NOT NULL,
  kind text NOT NULL,
  stream uuid NOT NULL,
  invoice_id text NOT NULL,
  amount_minor bigint NOT NULL,
  currency text NOT NULL,
  amount_nano_usd bigint NOT NULL,
  created_at timestamptz NOT NULL,
  PRIMARY KEY (source_id, kind)
);
CREATE INDEX subscription_cost_created_at_idx ON subscription_cost (created_at);

-- What the log has of them already; by the streams, so that the rest of the log is not read.
INSERT INTO subscription_invoice
SELECT f ->> 'invoice_id', e.originator_id, (f ->> 'account_id')::uuid,
  (f ->> 'amount_minor')::bigint, f ->> 'currency', (f ->> 'allowance_nano_usd')::bigint,
  (f ->> 'lot_id')::uuid, (f ->> 'effective_at')::timestamptz
FROM subscription s JOIN events e ON e.originator_id = s.stream,
  LATERAL (SELECT convert_from(e.state, 'UTF8')::jsonb AS f) d
WHERE e.topic = 'subscription.paid.v1';

INSERT INTO subscription_return
SELECT f ->> 'object_id', (array_agg(f ->> 'invoice_id'))[1], (array_agg(f ->> 'kind'))[1],
  (array_agg(f ->> 'phase' ORDER BY e.originator_version DESC))[1],
  (array_agg((f ->> 'amount_minor')::bigint))[1], (array_agg(f ->> 'currency'))[1],
  sum((f ->> 'credits_nano_usd')::bigint * CASE f ->> 'phase' WHEN 'back' THEN -1 ELSE 1 END),
  min((f ->> 'effective_at')::timestamptz), max((f ->> 'effective_at')::timestamptz)
FROM subscription s JOIN events e ON e.originator_id = s.stream,
  LATERAL (SELECT convert_from(e.state, 'UTF8')::jsonb AS f) d
WHERE e.topic = 'subscription.returned.v1'
GROUP BY f ->> 'object_id';

-- Charges and disputes of invoices were passed over as far as they say what the money cost: once more.
UPDATE stripe_inbox SET state = 'waiting', error = '', tries = 0, due_at = clock_timestamp()
WHERE state IN ('ignored', 'done') AND kind LIKE 'charge.%' AND EXISTS (SELECT FROM subscription);

GRANT SELECT, INSERT, UPDATE ON subscription_invoice, subscription_return, subscription_cost TO gatewayz_app;
