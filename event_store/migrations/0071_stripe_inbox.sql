-- What Stripe told, as it came and sealed, until it is handled; what fails stays with its reason.
-- depends: 0070_payment

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE stripe_inbox (
  event_id text PRIMARY KEY,
  kind text NOT NULL,
  told_by text NOT NULL,
  sealed bytea NOT NULL,
  state text NOT NULL DEFAULT 'waiting',
  error text NOT NULL DEFAULT '',
  tries integer NOT NULL DEFAULT 0,
  happened_at timestamptz NOT NULL,
  received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  due_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX stripe_inbox_due_idx ON stripe_inbox (happened_at, event_id) WHERE state = 'waiting';
CREATE INDEX stripe_inbox_failed_idx ON stripe_inbox (received_at) WHERE state = 'failed';
CREATE INDEX stripe_inbox_received_at_idx ON stripe_inbox (received_at);
GRANT SELECT, INSERT, UPDATE, DELETE ON stripe_inbox TO gatewayz_app;
