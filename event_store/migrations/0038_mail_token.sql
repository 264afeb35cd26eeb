-- Tokens that were mailed: each is good once, and until an instant.
-- depends: 0037_session

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE mail_token (
  token_hash bytea PRIMARY KEY,
  user_id uuid NOT NULL,
  purpose text NOT NULL,
  expires_at timestamptz NOT NULL
);
CREATE INDEX mail_token_user_id_idx ON mail_token (user_id);
GRANT SELECT, INSERT, DELETE ON mail_token TO gatewayz_app;
