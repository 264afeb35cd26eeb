-- Inline state: which accounts are topped up by themselves, and what is under way; who looks after one leases it.
-- depends: 0087_subscription

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE auto_top_up (
  account_id uuid PRIMARY KEY,
  version bigint NOT NULL,
  enabled boolean NOT NULL,
  threshold_minor bigint NOT NULL,
  under_way uuid,
  leased_until timestamptz NOT NULL DEFAULT '-infinity'
);
CREATE INDEX auto_top_up_looked_after_idx ON auto_top_up (leased_until)
WHERE enabled OR under_way IS NOT NULL;
GRANT SELECT, INSERT, UPDATE ON auto_top_up TO gatewayz_app;
