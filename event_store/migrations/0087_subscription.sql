-- Inline state: the customer that each account is at the payment provider, and the subscriptions it has there.
-- depends: 0086_payment_fingerprint

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE payment_customer (
  account_id uuid PRIMARY KEY,
  customer_id text NOT NULL UNIQUE,
  method_id text NOT NULL DEFAULT ''
);
CREATE TABLE subscription (
  stream uuid PRIMARY KEY,
  account_id uuid NOT NULL,
  subscription_id text NOT NULL UNIQUE,
  status text NOT NULL,
  tier text NOT NULL,
  product_id text NOT NULL,
  price_id text NOT NULL,
  period_begins bigint NOT NULL,
  period_ends bigint NOT NULL,
  cancels_at_end boolean NOT NULL,
  as_of bigint NOT NULL,
  unpaid text NOT NULL DEFAULT '',
  updated_at timestamptz NOT NULL
);
CREATE INDEX subscription_account_id_idx ON subscription (account_id);
GRANT SELECT, INSERT, UPDATE ON payment_customer, subscription TO gatewayz_app;
