-- Batches of calls: their state follows from the log; who runs one, what it counts and what is sealed stands beside.
-- depends: 0110_stored_file

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE batch (
  batch_id uuid PRIMARY KEY,
  version bigint NOT NULL,
  account_id uuid NOT NULL,
  user_id uuid NOT NULL,
  key_id uuid NOT NULL,
  status text NOT NULL,
  endpoint text NOT NULL,
  input_file_id uuid NOT NULL,
  price_percent smallint NOT NULL CHECK (price_percent BETWEEN 0 AND 100),
  created_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  in_progress_at timestamptz,
  cancelling_at timestamptz,
  finalizing_at timestamptz,
  ended_at timestamptz,
  total int NOT NULL DEFAULT 0,
  completed int NOT NULL DEFAULT 0,
  failed int NOT NULL DEFAULT 0,
  result_bytes bigint NOT NULL DEFAULT 0,
  owner_id uuid,
  sealed bytea,
  errors bytea,
  output_file_id uuid,
  error_file_id uuid,
  runner_id uuid
);
CREATE INDEX batch_account_id_idx ON batch (account_id, created_at, batch_id);
CREATE INDEX batch_open_idx ON batch (created_at) WHERE ended_at IS NULL;
CREATE INDEX batch_input_file_id_idx ON batch (input_file_id) WHERE ended_at IS NULL;
GRANT SELECT, INSERT, UPDATE ON batch TO gatewayz_app;
