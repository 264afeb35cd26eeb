-- Inline state: coupons and their uses. Whether the credits of a use stand on its account follows from the ledger;
-- `granted` only says that nobody need look any more.
-- depends: 0072_stripe_poll

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE coupon (
  coupon_id uuid PRIMARY KEY,
  version bigint NOT NULL,
  code text NOT NULL,
  value bigint NOT NULL CHECK (value BETWEEN 1 AND 1000000000000),
  scope text NOT NULL,
  kind text NOT NULL,
  max_uses integer NOT NULL,
  times_used integer NOT NULL DEFAULT 0 CHECK (times_used BETWEEN 0 AND max_uses),
  valid_from timestamptz NOT NULL,
  valid_until timestamptz NOT NULL,
  active boolean NOT NULL DEFAULT true,
  assigned_to uuid,
  description text NOT NULL DEFAULT '',
  created_by uuid,
  created_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX coupon_code_idx ON coupon (code);
CREATE INDEX coupon_assigned_idx ON coupon (assigned_to) WHERE active;
CREATE INDEX coupon_global_idx ON coupon (valid_until) WHERE active AND assigned_to IS NULL;

CREATE TABLE coupon_use (
  coupon_id uuid NOT NULL,
  user_id uuid NOT NULL,
  account_id uuid NOT NULL,
  lot_id uuid NOT NULL UNIQUE,
  value bigint NOT NULL,
  position bigint NOT NULL,
  redeemed_at timestamptz NOT NULL,
  granted boolean NOT NULL DEFAULT false,
  PRIMARY KEY (coupon_id, user_id)
);
CREATE INDEX coupon_use_user_idx ON coupon_use (user_id, position);
CREATE INDEX coupon_use_waiting_idx ON coupon_use (position) WHERE NOT granted;

GRANT SELECT, INSERT, UPDATE ON coupon, coupon_use TO gatewayz_app;
