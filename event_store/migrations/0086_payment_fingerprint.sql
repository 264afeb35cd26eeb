-- What stands for the card of a payment (a keyed hash of the provider's fingerprint), where a referral made us ask for it.
-- depends: 0085_referral

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE payment_fingerprint (
  payment_id uuid PRIMARY KEY,
  account_id uuid NOT NULL,
  fingerprint text NOT NULL
);
CREATE INDEX payment_fingerprint_account_idx ON payment_fingerprint (account_id);
GRANT SELECT, INSERT ON payment_fingerprint TO gatewayz_app;
