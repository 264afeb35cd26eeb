-- Provider keys of customers: inline state of their streams, and beside it what is not derived from the log: the secret,
-- sealed with the data key of the organisation whose it is (a user's own for the personal one).
-- depends: 0112_batch_result

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE provider_key (
  provider_key_id uuid PRIMARY KEY,
  version bigint NOT NULL,
  scope_id uuid NOT NULL,
  account_id uuid NOT NULL,
  organisation_id uuid NOT NULL,
  project_id uuid,
  provider text NOT NULL,
  label text NOT NULL,
  hint text NOT NULL,
  enabled boolean NOT NULL,
  fallback boolean NOT NULL,
  removed boolean NOT NULL DEFAULT false,
  created_at timestamptz NOT NULL,
  position bigint NOT NULL
);
CREATE UNIQUE INDEX provider_key_scope_idx ON provider_key (scope_id, provider) WHERE NOT removed;
CREATE INDEX provider_key_organisation_idx ON provider_key (organisation_id) WHERE NOT removed;
CREATE INDEX provider_key_position_idx ON provider_key (position);

CREATE TABLE provider_key_secret (
  provider_key_id uuid PRIMARY KEY,
  organisation_id uuid NOT NULL,
  sealed bytea NOT NULL CHECK (length(sealed) <= 4096)
);
CREATE INDEX provider_key_secret_organisation_idx ON provider_key_secret (organisation_id);

GRANT SELECT, INSERT, UPDATE ON provider_key TO gatewayz_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON provider_key_secret TO gatewayz_app;
