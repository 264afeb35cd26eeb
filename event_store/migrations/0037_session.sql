-- Sessions. A refresh token names its session and a generation; only the newest generation is good.
-- depends: 0036_user_credentials

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE session (
  session_id uuid PRIMARY KEY,
  user_id uuid NOT NULL,
  generation integer NOT NULL DEFAULT 1,
  sealed_origin bytea NOT NULL,
  began_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  rotated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  expires_at timestamptz NOT NULL,
  ended boolean NOT NULL DEFAULT false
);
CREATE INDEX session_user_id_idx ON session (user_id);
CREATE INDEX session_expires_at_idx ON session (expires_at);
GRANT SELECT, INSERT, UPDATE, DELETE ON session TO gatewayz_app;
