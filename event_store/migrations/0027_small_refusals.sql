-- A refusal leaves what its key needs and no more; a grant's key is of one grant.
-- depends: 0026_entries_bound

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE OR REPLACE FUNCTION ledger_missing(call uuid, state_ bytea, follows uuid, topics text[])
RETURNS smallint LANGUAGE sql AS $$
  -- Why an entry finds no open hold: it stands (2), the hold is resolved (3), there was none (9).
  SELECT CASE
    WHEN bool_or(e.id = substr(state_, 8, 36) AND e.topic <> topics[8]) THEN 2
    WHEN follows <> '00000000-0000-0000-0000-000000000000' THEN
      CASE WHEN bool_or(e.topic = topics[1] AND e.id = convert_to(follows::text, 'UTF8')) THEN 3
      ELSE 9 END
    WHEN
      (array_agg(e.topic ORDER BY e.version DESC) FILTER (WHERE e.topic <> topics[8]))[1]
      NOT LIKE '%.hold_refused.%' THEN 3
    ELSE 9 END::smallint
  FROM (
    SELECT topic, originator_version AS version, substr(state, 8, 36) AS id
    FROM events WHERE originator_id = call
  ) e
$$;

CREATE OR REPLACE FUNCTION ledger_hold(
  call uuid, account uuid, need bigint, estimated bigint, state_ bytea, key bytea, follows uuid,
  instant timestamptz, owner uuid, ttl_s int, topics text[], OUT code smallint, OUT figure bigint
) LANGUAGE plpgsql AS $$
DECLARE
  last record; ended record; known record; acct record; parts record; next_version bigint := 1;
  is_new boolean := false; fact jsonb;
BEGIN
  SELECT originator_version, topic, substr(state, 8, 36) = substr(state_, 8, 36) AS same INTO last
  FROM events WHERE originator_id = call ORDER BY originator_version DESC LIMIT 1;
  IF FOUND THEN
    IF last.same AND last.topic = topics[1] THEN
      SELECT available INTO figure FROM credit_account WHERE account_id = account;
      code := 2; RETURN;
    END IF;
    next_version := last.originator_version + 1;
    IF NOT (last.same AND last.topic = topics[9]) THEN
      -- Placed again, after a void or an expiry that it names: a copy that comes late names none.
      -- A late outcome leaves the hold as it was resolved before.
      SELECT topic, convert_from(substr(state, 8, 36), 'UTF8') AS id INTO ended
      FROM events WHERE originator_id = call AND topic <> topics[8]
      ORDER BY originator_version DESC LIMIT 1;
      IF ended.topic NOT IN (topics[4], topics[5]) OR ended.id <> follows::text THEN
        code := 4; RETURN;
      END IF;
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
      -- Of what was asked only what the key needs: who is refused writes no more than that.
      fact := convert_from(state_ || '\x7d'::bytea, 'UTF8')::jsonb;
      INSERT INTO events (originator_id, originator_version, topic, state, booked_at)
      VALUES (call, next_version, topics[9], convert_to('{"id":' || (fact -> 'id')::text
        || ',"effective_at":' || (fact -> 'effective_at')::text || ',"actor":'
        || (fact -> 'actor')::text || ',"account_id":"' || account || '","amount_nano_usd":'
        || need || ',"available_nano_usd":' || acct.available
        || ',"key_hash":"' || rtrim(encode(substr(key, 1, 32), 'base64'), '=')
        || '","digest":"' || rtrim(encode(substr(key, 33), 'base64'), '=') || '"}', 'UTF8'),
        instant);
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
    CASE WHEN length(key) > 0 THEN substr(key, 1, 32) END,
    convert_from(substr(state_, 8, 36), 'UTF8')::uuid);
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

CREATE OR REPLACE FUNCTION ledger_grant(
  lot uuid, account uuid, amount bigint, state_ bytea, instant timestamptz, topics text[],
  OUT code smallint, OUT figure bigint
) LANGUAGE plpgsql AS $$
DECLARE fact jsonb; stream_version bigint; at bigint; expiry timestamptz;
BEGIN
  IF amount NOT BETWEEN 1 AND 10000000000000000 THEN code := 11; RETURN; END IF;
  fact := convert_from(state_ || '\x7d'::bytea, 'UTF8')::jsonb;
  IF EXISTS (SELECT FROM grant_key WHERE lot_id = lot) THEN
    -- The same grant again, or another one under its key: the log says what was given.
    SELECT (e.given ->> 'amount_nano_usd')::bigint, CASE WHEN
      (e.given ->> 'amount_nano_usd')::bigint = amount AND e.given ->> 'kind' = fact ->> 'kind'
      AND (fact ->> 'kind' = 'trial'
        OR e.given ->> 'expires_at' IS NOT DISTINCT FROM fact ->> 'expires_at')
      THEN 2 ELSE 5 END
    INTO figure, code
    FROM (
      SELECT convert_from(state, 'UTF8')::jsonb AS given FROM events
      WHERE originator_id = account AND topic LIKE '%.credits_granted.%'
    ) e WHERE e.given ->> 'lot_id' = lot::text;
    code := coalesce(code, 5);
    RETURN;
  END IF;
  SELECT greatest(1000000000000000000 - granted, 0) INTO figure
  FROM credit_account WHERE account_id = account;
  IF amount > figure THEN code := 12; RETURN; END IF;
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
