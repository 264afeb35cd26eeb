-- Answers by the vector of their request's text, both sealed with their owner's data key.
-- depends: 0119_key_cache

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE semantic_entry (
  entry_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  account_id uuid NOT NULL,
  scope bytea NOT NULL CHECK (octet_length(scope) = 32),
  made_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  expires_at timestamptz NOT NULL,
  sealed_vector bytea NOT NULL,
  sealed_reply bytea NOT NULL
);
CREATE INDEX semantic_entry_scope_idx ON semantic_entry (account_id, scope, entry_id);
CREATE INDEX semantic_entry_account_idx ON semantic_entry (account_id, entry_id);
CREATE INDEX semantic_entry_expires_at_idx ON semantic_entry (expires_at);
GRANT SELECT, INSERT, DELETE ON semantic_entry TO gatewayz_app;
