-- Responses that were stored for their owner: the answer and its input, sealed with the owner's data key.
-- depends: 0090_disputed_lots_stay

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE kept_response (
  account_id uuid NOT NULL,
  response_id text NOT NULL CHECK (length(response_id) BETWEEN 1 AND 256),
  call_id uuid NOT NULL,
  owner_id uuid NOT NULL,
  previous_id text CHECK (length(previous_id) BETWEEN 1 AND 256),
  kept_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  expires_at timestamptz NOT NULL,
  body bytea NOT NULL,
  PRIMARY KEY (account_id, response_id)
);
CREATE INDEX kept_response_expires_at_idx ON kept_response (expires_at);
GRANT SELECT, INSERT, UPDATE, DELETE ON kept_response TO gatewayz_app;
