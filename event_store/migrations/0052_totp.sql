-- The second step: a secret sealed with the user's data key, the last step that was shown, and the hashes of
-- recovery codes under that key.
-- depends: 0051_once

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE user_secret
  ADD COLUMN sealed_totp bytea,
  ADD COLUMN totp_on boolean NOT NULL DEFAULT false,
  ADD COLUMN totp_step bigint NOT NULL DEFAULT 0;
CREATE TABLE recovery_code (
  user_id uuid,
  code_hash bytea,
  PRIMARY KEY (user_id, code_hash)
);
GRANT SELECT, INSERT, DELETE ON recovery_code TO gatewayz_app;
