-- Per-user data keys, wrapped; destroying one erases the user's personal data.
-- depends: 0012_api_key

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE user_secret (
  user_id uuid PRIMARY KEY,
  account_id uuid NOT NULL UNIQUE,
  email_hash bytea UNIQUE,
  wrapped_key bytea
);
GRANT SELECT, INSERT, UPDATE ON user_secret TO gatewayz_app;
