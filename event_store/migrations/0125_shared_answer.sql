-- Answers that their callers give to other accounts, where the operator lets them: each sealed with the data key of whose it is.
-- depends: 0124_ping_count

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE shared_answer (
  name text PRIMARY KEY CHECK (length(name) = 32),
  account_id uuid NOT NULL,
  user_id uuid NOT NULL,
  owner_id uuid NOT NULL,
  expires_at timestamptz NOT NULL,
  sealed_reply bytea NOT NULL
);
CREATE INDEX shared_answer_account_idx ON shared_answer (account_id, expires_at);
CREATE INDEX shared_answer_user_idx ON shared_answer (user_id);
CREATE INDEX shared_answer_owner_idx ON shared_answer (owner_id);
CREATE INDEX shared_answer_expires_at_idx ON shared_answer (expires_at);
GRANT SELECT, INSERT, UPDATE, DELETE ON shared_answer TO gatewayz_app;
