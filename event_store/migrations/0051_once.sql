-- What is good once and for minutes: second steps, challenges, states, codes; known by a keyed hash.
-- depends: 0050_mail_outbox

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE once (
  token_hash bytea PRIMARY KEY,
  purpose text NOT NULL,
  user_id uuid,
  sealed_note bytea NOT NULL,
  expires_at timestamptz NOT NULL
);
CREATE INDEX once_user_id_idx ON once (user_id);
CREATE INDEX once_expires_at_idx ON once (expires_at);
GRANT SELECT, INSERT, UPDATE, DELETE ON once TO gatewayz_app;
