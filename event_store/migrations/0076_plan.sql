-- Inline state: the plan of each user, which the look-up of a key reads; its limits are quotas of a scope of their own.
-- Where in the log it last changed is what gateways ask for, who may have missed a notice.
-- depends: 0075_coupon

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE user_plan (
  user_id uuid PRIMARY KEY,
  account_id uuid NOT NULL,
  version bigint NOT NULL,
  plan text,
  starts_at timestamptz NOT NULL,
  expires_at timestamptz,
  position bigint NOT NULL
);
CREATE INDEX user_plan_position_idx ON user_plan (position);
GRANT SELECT, INSERT, UPDATE ON user_plan TO gatewayz_app;

ALTER TABLE quota DROP CONSTRAINT quota_scope_kind_check;
ALTER TABLE quota ADD CONSTRAINT quota_scope_kind_check CHECK (
  scope_kind IN ('key', 'user', 'project', 'organisation', 'account', 'trial_lot', 'plan'));
