-- Passkeys. Their ids are random and known by a digest; key, name and id are sealed with the user's data key.
-- depends: 0052_totp

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE passkey (
  credential_hash bytea PRIMARY KEY,
  passkey_id uuid NOT NULL UNIQUE,
  user_id uuid NOT NULL,
  sealed bytea NOT NULL,
  sign_count bigint NOT NULL,
  made_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  used_at timestamptz
);
CREATE INDEX passkey_user_id_idx ON passkey (user_id);
GRANT SELECT, INSERT, UPDATE, DELETE ON passkey TO gatewayz_app;
