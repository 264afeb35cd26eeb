-- Inline state: users' referral codes, and who came by whose. `origin` stands for an address (a keyed hash).
-- depends: 0084_process_manager

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE referral_code (
  code text PRIMARY KEY,
  stream uuid NOT NULL UNIQUE,
  user_id uuid NOT NULL UNIQUE,
  version bigint NOT NULL,
  origin text NOT NULL DEFAULT '',
  made_at timestamptz NOT NULL
);
CREATE TABLE referral (
  referee uuid PRIMARY KEY,
  referrer uuid NOT NULL,
  origin text NOT NULL DEFAULT '',
  state text NOT NULL DEFAULT 'pending',
  bonus bigint NOT NULL DEFAULT 0 CHECK (bonus >= 0),
  payment_id uuid,
  position bigint NOT NULL,
  claimed_at timestamptz NOT NULL,
  ended_at timestamptz
);
CREATE INDEX referral_referrer_idx ON referral (referrer, position);
GRANT SELECT, INSERT, UPDATE ON referral_code, referral TO gatewayz_app;
