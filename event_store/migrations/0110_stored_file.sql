-- Files of accounts: what they hold stands in chunks, sealed with the owner's data key.
-- depends: 0104_health_monitor

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE stored_file (
  file_id uuid PRIMARY KEY,
  account_id uuid NOT NULL,
  owner_id uuid NOT NULL,
  purpose text NOT NULL CHECK (length(purpose) BETWEEN 1 AND 32),
  whole boolean NOT NULL DEFAULT false,
  bytes bigint NOT NULL DEFAULT 0 CHECK (bytes >= 0),
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  expires_at timestamptz NOT NULL,
  sealed bytea NOT NULL
);
CREATE INDEX stored_file_account_id_idx ON stored_file (account_id, file_id);
CREATE INDEX stored_file_expires_at_idx ON stored_file (expires_at);

CREATE TABLE stored_file_chunk (
  file_id uuid NOT NULL REFERENCES stored_file ON DELETE CASCADE,
  number int NOT NULL CHECK (number >= 0),
  body bytea NOT NULL,
  PRIMARY KEY (file_id, number)
);
ALTER TABLE stored_file_chunk ALTER COLUMN body SET STORAGE EXTERNAL;

GRANT SELECT, INSERT, UPDATE, DELETE ON stored_file TO gatewayz_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON stored_file_chunk TO gatewayz_app;
