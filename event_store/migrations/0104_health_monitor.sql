-- The one monitor of all gateways: whether it runs (inline state), when its next round is due, who leases it; and what
-- the last check of each provider found, which is kept nowhere else.
-- depends: 0103_maintenance

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE health_monitor (
  only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
  version bigint NOT NULL DEFAULT 0,
  running boolean NOT NULL DEFAULT true,
  due_at timestamptz NOT NULL DEFAULT '-infinity',
  leased_until timestamptz NOT NULL DEFAULT '-infinity',
  ended_at timestamptz
);
INSERT INTO health_monitor DEFAULT VALUES;
GRANT SELECT, UPDATE ON health_monitor TO gatewayz_app;

CREATE TABLE provider_check (
  provider text PRIMARY KEY,
  checked_at timestamptz NOT NULL,
  latency_ms integer NOT NULL,
  models integer,
  error text
);
GRANT SELECT, INSERT, UPDATE ON provider_check TO gatewayz_app;
