-- What the lines of a running batch were answered, sealed, until its files are written.
-- depends: 0111_batch

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE batch_result (
  batch_id uuid NOT NULL REFERENCES batch ON DELETE CASCADE,
  line int NOT NULL CHECK (line >= 1),
  failed boolean NOT NULL,
  body bytea NOT NULL,
  PRIMARY KEY (batch_id, line)
);
ALTER TABLE batch_result ALTER COLUMN body SET STORAGE EXTERNAL;
GRANT SELECT, INSERT, UPDATE, DELETE ON batch_result TO gatewayz_app;
