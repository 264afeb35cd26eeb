-- Who users are at providers, by a keyed hash; sealed with the user's data key too, for another secret's hash.
-- depends: 0053_passkey

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE linked_identity (
  identity_hash bytea PRIMARY KEY,
  user_id uuid NOT NULL,
  provider text NOT NULL,
  sealed_subject bytea NOT NULL,
  linked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  UNIQUE (user_id, provider)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON linked_identity TO gatewayz_app;
