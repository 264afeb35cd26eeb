-- First replies, encrypted, kept for a day outside the event payloads.
-- depends: 0010_idempotency_key

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE idempotent_reply (
  call_id uuid PRIMARY KEY,
  status smallint NOT NULL,
  content_type text NOT NULL,
  provider text NOT NULL,
  body bytea NOT NULL,
  stored_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX idempotent_reply_stored_at_idx ON idempotent_reply (stored_at);
GRANT SELECT, INSERT, UPDATE, DELETE ON idempotent_reply TO gatewayz_app;
