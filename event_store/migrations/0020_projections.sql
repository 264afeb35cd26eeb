-- The register of projections, and where each stands in each partition of the log. The tables of
-- read models are made by the projections themselves, one set for each version, and filled from
-- the log; those that migrations made before give way to them.
-- depends: 0019_account_balances

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

DROP TABLE read_account_balance_v1, read_credit_lot_v1, read_credit_statement_v1;
DROP TABLE projection_progress;

CREATE TABLE projection (
  name text PRIMARY KEY,
  version int NOT NULL,
  revision int NOT NULL,
  sink text NOT NULL CHECK (sink IN ('postgres', 'redis'))
);
CREATE TABLE projection_progress (
  name text NOT NULL,
  version int NOT NULL,
  partition int NOT NULL,
  host text NOT NULL CHECK (host IN ('follower', 'workers', 'rebuild')),
  position bigint NOT NULL DEFAULT 0,
  next_offset bigint,
  parked_position bigint,
  parked_error text,
  parked_at timestamptz,
  PRIMARY KEY (name, version, partition)
) WITH (fillfactor = 50);
GRANT SELECT ON projection TO gatewayz_app;
GRANT SELECT, UPDATE ON projection_progress TO gatewayz_app;
