-- Inline state: the rate limits that are set, by scope and by who set them. A cleared row stays, so that
-- whoever looks for changes hears of it; `change` rises with each, under the lock of the append.
-- depends: 0043_user_roles

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE SEQUENCE rate_limit_change;
CREATE TABLE rate_limit (
  scope text NOT NULL CHECK (scope IN ('key', 'user', 'system')),
  scope_id uuid NOT NULL,
  set_by text NOT NULL CHECK (set_by IN ('operator', 'owner')),
  plan text,
  requests_per_minute bigint CHECK (requests_per_minute >= 0),
  requests_per_hour bigint CHECK (requests_per_hour >= 0),
  requests_per_day bigint CHECK (requests_per_day >= 0),
  tokens_per_minute bigint CHECK (tokens_per_minute >= 0),
  tokens_per_hour bigint CHECK (tokens_per_hour >= 0),
  tokens_per_day bigint CHECK (tokens_per_day >= 0),
  burst bigint CHECK (burst >= 0),
  concurrency bigint CHECK (concurrency >= 0),
  cleared boolean NOT NULL,
  change bigint NOT NULL,
  PRIMARY KEY (scope, scope_id, set_by)
);
CREATE INDEX rate_limit_change_idx ON rate_limit (change);
CREATE INDEX rate_limit_in_force_idx ON rate_limit (scope) WHERE NOT cleared;
GRANT SELECT, INSERT, UPDATE ON rate_limit TO gatewayz_app;
GRANT USAGE ON SEQUENCE rate_limit_change TO gatewayz_app;
