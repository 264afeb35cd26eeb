-- How often GET /ping was asked of all gateways, which stands in no event: it is worth nothing but to see that they are there.
-- depends: 0122_open_refusals

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE ping_count (
  only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
  pings bigint NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  last_ping_at timestamptz
);
INSERT INTO ping_count DEFAULT VALUES;
GRANT SELECT, UPDATE ON ping_count TO gatewayz_app;
