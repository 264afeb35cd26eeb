-- Inline state: what the gateway asks of a key, by its HMAC.
-- depends: 0011_idempotent_reply

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE api_key (
  key_hash text PRIMARY KEY,
  key_id uuid NOT NULL UNIQUE,
  user_id uuid NOT NULL,
  account_id uuid NOT NULL,
  masked text NOT NULL,
  name text NOT NULL,
  revoked boolean NOT NULL DEFAULT false
);
GRANT SELECT, INSERT, UPDATE ON api_key TO gatewayz_app;
