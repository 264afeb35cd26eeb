-- Up to when Stripe's events were asked for; a window that is not asked for to its end goes on.
-- depends: 0071_stripe_inbox

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE stripe_poll (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  since timestamptz NOT NULL,
  until timestamptz,
  after_id text NOT NULL DEFAULT '',
  polled_at timestamptz
);
GRANT SELECT, INSERT, UPDATE ON stripe_poll TO gatewayz_app;
