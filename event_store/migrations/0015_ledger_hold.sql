-- Placing and extending a hold, and granting: one entry at a time, in order.
-- depends: 0014_ledger_helpers

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE FUNCTION ledger_hold(
  call uuid, account uuid, need bigint, estimated bigint, state_ bytea, key bytea,
  instant timestamptz, owner uuid, ttl_s int, topics text[], OUT code smallint, OUT figure bigint
) LANGUAGE plpgsql AS $$
DECLARE
  last record; known record; acct record; parts record; next_version bigint := 1;
  is_new boolean := false;
BEGIN
  SELECT originator_version, topic, substr(state, 8, 36) = substr(state_, 8, 36) AS same INTO last
  FROM events WHERE originator_id = call ORDER BY originator_version DESC LIMIT 1;
  IF FOUND THEN
    IF last.same AND last.topic = topics[1] THEN code := 2; RETURN; END IF;
    next_version := last.originator_version + 1;
    IF last.topic = topics[8] THEN
      -- A late outcome leaves the hold as it was resolved before.
      SELECT topic INTO last.topic FROM events WHERE originator_id = call AND topic <> topics[8]
      ORDER BY originator_version DESC LIMIT 1;
    END IF;
    IF last.topic NOT IN (topics[4], topics[5]) AND NOT (last.same AND last.topic = topics[9]) THEN
      code := 4; RETURN;
    END IF;
  END IF;
  IF length(key) > 0 THEN
    SELECT * INTO known FROM idempotency_key WHERE key_hash = substr(key, 1, 32);
    IF FOUND THEN
      figure := known.available;
      code := CASE WHEN known.digest <> substr(key, 33) THEN 5 WHEN known.state = 'held' THEN 6
        WHEN known.state = 'settled' THEN 7 WHEN known.state = 'refused' THEN 8
        WHEN known.call_id <> call THEN 4 END;
      IF code IS NOT NULL THEN RETURN; END IF;
    END IF;
  END IF;
  SELECT available, next_expiry INTO acct FROM credit_account WHERE account_id = account;
  IF NOT FOUND THEN
    acct.available := 0;
    is_new := true;
  ELSIF acct.next_expiry <= instant THEN
    PERFORM ledger_book_expiry(account, instant, topics[7]);
    SELECT available INTO acct.available FROM credit_account WHERE account_id = account;
  END IF;
  figure := acct.available;
  IF is_new AND (need = 0 OR length(key) > 0) THEN
    INSERT INTO credit_account (account_id) VALUES (account);
  END IF;
  IF acct.available < need THEN
    code := 1;
    IF length(key) > 0 THEN
      INSERT INTO events (originator_id, originator_version, topic, state, booked_at)
      VALUES (call, next_version, topics[9], state_
        || convert_to(',"available_nano_usd":' || acct.available || '}', 'UTF8'), instant);
      INSERT INTO idempotency_key (key_hash, digest, call_id, state, needed, available)
      VALUES (substr(key, 1, 32), substr(key, 33), call, 'refused', need, acct.available)
      ON CONFLICT (key_hash) DO UPDATE SET state = 'refused', needed = need,
        available = acct.available;
    END IF;
    RETURN;
  END IF;
  parts := ledger_reserve(account, need, instant);
  INSERT INTO open_hold VALUES (call, account, next_version, need, estimated, parts.ids,
    parts.amounts, owner, instant, instant + make_interval(secs => ttl_s),
    CASE WHEN length(key) > 0 THEN substr(key, 1, 32) END);
  INSERT INTO events (originator_id, originator_version, topic, state, booked_at)
  VALUES (call, next_version, topics[1], state_
    || convert_to(',"lots":' || lot_parts(parts.ids, parts.amounts) || '}', 'UTF8'), instant);
  IF length(key) > 0 THEN
    INSERT INTO idempotency_key (key_hash, digest, call_id, state)
    VALUES (substr(key, 1, 32), substr(key, 33), call, 'held')
    ON CONFLICT (key_hash) DO UPDATE SET state = 'held';
  END IF;
  code := 0; figure := acct.available - need;
END $$;

CREATE FUNCTION ledger_extend(
  call uuid, need bigint, state_ bytea, instant timestamptz, topics text[],
  OUT code smallint, OUT figure bigint
) LANGUAGE plpgsql AS $$
DECLARE hold record; acct record; parts record; last record;
BEGIN
  SELECT originator_version, topic, substr(state, 8, 36) = substr(state_, 8, 36) AS same INTO last
  FROM events WHERE originator_id = call ORDER BY originator_version DESC LIMIT 1;
  IF NOT FOUND OR last.topic = topics[9] THEN code := 9; RETURN; END IF;
  IF last.same AND last.topic = topics[2] THEN code := 2; RETURN; END IF;
  SELECT * INTO hold FROM open_hold WHERE call_id = call;
  IF NOT FOUND THEN code := 3; RETURN; END IF;
  SELECT available, next_expiry INTO acct FROM credit_account WHERE account_id = hold.account_id;
  IF acct.next_expiry <= instant THEN
    PERFORM ledger_book_expiry(hold.account_id, instant, topics[7]);
    SELECT available INTO acct.available FROM credit_account WHERE account_id = hold.account_id;
  END IF;
  figure := acct.available;
  IF acct.available < need THEN code := 1; RETURN; END IF;
  parts := ledger_reserve(hold.account_id, need, instant);
  UPDATE open_hold SET amount = amount + need, version = version + 1,
    lot_ids = lot_ids || parts.ids, lot_amounts = lot_amounts || parts.amounts
  WHERE call_id = call;
  INSERT INTO events (originator_id, originator_version, topic, state, booked_at)
  VALUES (call, hold.version + 1, topics[2], state_
    || convert_to(',"lots":' || lot_parts(parts.ids, parts.amounts) || '}', 'UTF8'), instant);
  code := 0; figure := acct.available - need;
END $$;

CREATE FUNCTION ledger_grant(
  lot uuid, account uuid, amount bigint, state_ bytea, instant timestamptz, topics text[],
  OUT code smallint, OUT figure bigint
) LANGUAGE plpgsql AS $$
DECLARE fact jsonb; stream_version bigint; at bigint; expiry timestamptz;
BEGIN
  IF EXISTS (SELECT FROM grant_key WHERE lot_id = lot) THEN code := 2; RETURN; END IF;
  fact := convert_from(state_ || '\x7d'::bytea, 'UTF8')::jsonb;
  expiry := coalesce((fact ->> 'expires_at')::timestamptz, 'infinity');
  INSERT INTO grant_key VALUES (lot);
  INSERT INTO credit_account (account_id, version, granted, available, next_expiry)
  VALUES (account, 1, amount, amount, expiry)
  ON CONFLICT (account_id) DO UPDATE SET version = credit_account.version + 1,
    granted = credit_account.granted + amount, available = credit_account.available + amount,
    next_expiry = least(credit_account.next_expiry, expiry)
  RETURNING version INTO stream_version;
  INSERT INTO events (originator_id, originator_version, topic, state, booked_at)
  VALUES (account, stream_version, topics[6], state_ || '\x7d'::bytea, instant)
  RETURNING notification_id INTO at;
  INSERT INTO credit_lot VALUES (lot, account, fact ->> 'kind', (fact ->> 'priority')::smallint,
    expiry, at, amount, 0);
  code := 0; figure := amount;
END $$;
CREATE TABLE grant_key (lot_id uuid PRIMARY KEY);
GRANT SELECT, INSERT ON grant_key TO gatewayz_app;
