-- Inline state: quotas, their windows, and what marks the accounts, lots and holds that they bind.
-- depends: 0044_rate_limit

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE quota (
  quota_id uuid PRIMARY KEY,
  -- What the answer of the append names it by; another one after a rebuild.
  number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  account_id uuid NOT NULL,
  scope_kind text NOT NULL CHECK (scope_kind IN ('key', 'user', 'account', 'trial_lot')),
  scope_id uuid NOT NULL,
  unit text NOT NULL CHECK (unit IN ('nano_usd', 'requests', 'tokens')),
  period text NOT NULL CHECK (period IN ('day', 'month', 'total')),
  zone text NOT NULL DEFAULT 'UTC',
  code smallint NOT NULL GENERATED ALWAYS AS (
    CASE unit WHEN 'requests' THEN 1 WHEN 'tokens' THEN 2 ELSE 3 END) STORED,
  quota_limit bigint NOT NULL CHECK (quota_limit BETWEEN 0 AND 1000000000000000000),
  removed boolean NOT NULL DEFAULT false
);
CREATE INDEX quota_scope_idx ON quota (account_id, scope_id);

-- All that was used and all that is held: how much of it is overrun depends on the limit.
CREATE TABLE quota_window (
  quota_id uuid NOT NULL,
  begins timestamptz NOT NULL,
  used bigint NOT NULL DEFAULT 0 CHECK (used >= 0),
  held bigint NOT NULL DEFAULT 0 CHECK (held >= 0),
  PRIMARY KEY (quota_id, begins)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
GRANT SELECT, INSERT, UPDATE ON quota, quota_window TO gatewayz_app;
GRANT SELECT ON quota, quota_window TO gatewayz_reader;

ALTER TABLE credit_account ADD COLUMN bound boolean NOT NULL DEFAULT false;
ALTER TABLE credit_lot ADD COLUMN bound boolean NOT NULL DEFAULT false;
ALTER TABLE open_hold ADD COLUMN quota_ids uuid[], ADD COLUMN quota_begins timestamptz[],
  ADD COLUMN quota_amounts bigint[], ADD COLUMN quota_units smallint[];

CREATE FUNCTION quota_begin(period text, zone text, instant timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE AS $$
  SELECT CASE period WHEN 'total' THEN timestamptz 'epoch' ELSE date_trunc(period, instant, zone) END
$$;

CREATE FUNCTION quota_end(period text, zone text, begins timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE AS $$
  SELECT CASE WHEN period <> 'total'
    THEN date_trunc(period, (begins AT TIME ZONE zone) + ('1 ' || period)::interval) AT TIME ZONE zone
  END
$$;

CREATE FUNCTION lot_quota_id(lot uuid, unit text) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
  -- RFC 9562 UUIDv3: 122 bits of the MD5 of space and name, with version and variant.
  SELECT overlay(overlay(md5(uuid_send(lot) || convert_to(unit, 'UTF8')) placing '3' from 13)
    placing substr('89ab', 1 + get_byte(decode(md5(uuid_send(lot) || convert_to(unit, 'UTF8')),
      'hex'), 8) / 16 % 4, 1) from 17)::uuid
$$;

CREATE FUNCTION ledger_lot_quotas(lot uuid, account uuid, limits jsonb) RETURNS boolean
LANGUAGE sql AS $$
  -- The limits on a grant are quotas of its lot; whether there are any.
  WITH made AS (
    INSERT INTO quota (quota_id, account_id, scope_kind, scope_id, unit, period, quota_limit)
    SELECT lot_quota_id(lot, u.unit), account, 'trial_lot', lot, u.unit, 'total',
      (limits ->> u.unit)::bigint
    FROM unnest(ARRAY['requests', 'tokens']) AS u(unit) WHERE limits ->> u.unit IS NOT NULL
    ORDER BY u.unit
    RETURNING 1
  )
  SELECT count(*) > 0 FROM made
$$;

-- Trials that were granted before: what they used already is not counted.
DO $$
DECLARE given record;
BEGIN
  FOR given IN
    SELECT (e.fact ->> 'lot_id')::uuid AS lot, e.account_id AS account, e.fact -> 'limits' AS limits
    FROM (
      SELECT a.account_id, e.notification_id, convert_from(e.state, 'UTF8')::jsonb AS fact
      FROM credit_account a JOIN events e ON e.originator_id = a.account_id
      WHERE e.topic LIKE '%.credits_granted.%'
    ) e WHERE jsonb_typeof(e.fact -> 'limits') = 'object'
    ORDER BY e.notification_id
  LOOP
    IF ledger_lot_quotas(given.lot, given.account, given.limits) THEN
      UPDATE credit_account SET bound = true WHERE account_id = given.account;
      UPDATE credit_lot SET bound = true WHERE lot_id = given.lot;
    END IF;
  END LOOP;
END $$;
