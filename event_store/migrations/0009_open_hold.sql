-- Inline state: holds that are not yet resolved.
-- depends: 0008_credit_lot

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE open_hold (
  call_id uuid PRIMARY KEY,
  account_id uuid NOT NULL,
  version bigint NOT NULL,
  amount bigint NOT NULL CHECK (amount >= 0),
  estimated_cost bigint NOT NULL,
  lot_ids uuid[] NOT NULL,
  lot_amounts bigint[] NOT NULL,
  owner_id uuid NOT NULL,
  placed_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  key_hash bytea
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
GRANT SELECT, INSERT, UPDATE, DELETE ON open_hold TO gatewayz_app;
