-- A lot is closed before its own end: what is left of it expires at once, as at its end (money rule 10).
-- depends: 0096_subscription_invoice

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE FUNCTION ledger_close_lot(
  lot uuid, account uuid, state_ bytea, instant timestamptz, topics text[],
  OUT code smallint, OUT figure bigint
) LANGUAGE plpgsql AS $$
DECLARE fact jsonb; known record; stream_version bigint;
BEGIN
  IF (SELECT next_expiry <= instant FROM credit_account WHERE account_id = account) THEN
    PERFORM ledger_book_expiry(account, instant, topics[7]);
  END IF;
  SELECT l.available, l.expires_at INTO known FROM credit_lot l
  WHERE l.lot_id = lot AND l.account_id = account;
  -- Used up, at its end, closed before, or never there: nothing is left to close.
  IF known.expires_at IS NULL OR known.expires_at <= instant THEN
    code := 2; figure := 0; RETURN;
  END IF;
  fact := convert_from(state_ || '\x7d'::bytea, 'UTF8')::jsonb;
  -- What calls hold of it is theirs; what they leave finds the lot at its end.
  UPDATE credit_lot SET available = 0, expires_at = instant WHERE lot_id = lot;
  UPDATE open_hold SET lot_until = instant
  WHERE account_id = account AND lot_until > instant AND lot = ANY (lot_ids);
  UPDATE credit_account
  SET version = version + 1, available = available - known.available,
      breakage = breakage + known.available
  WHERE account_id = account RETURNING version INTO stream_version;
  INSERT INTO events (originator_id, originator_version, topic, state, booked_at)
  VALUES (account, stream_version, topics[7], convert_to(
    '{"id":' || (fact -> 'id')::text || ',"effective_at":"' || iso_instant(instant)
    || '","actor":' || (fact -> 'actor')::text || ',"correlation_id":'
    || (fact -> 'correlation_id')::text || ',"account_id":"' || account || '","lot_id":"' || lot
    || '","breakage_nano_usd":' || known.available || '}', 'UTF8'), instant);
  DELETE FROM credit_lot WHERE account_id = account AND available = 0 AND held = 0;
  UPDATE credit_account SET next_expiry = coalesce((
    SELECT min(expires_at) FROM credit_lot WHERE account_id = account AND expires_at > instant
  ), 'infinity') WHERE account_id = account;
  code := 0; figure := known.available;
END $$;

CREATE OR REPLACE FUNCTION ledger_append_in_order(kinds smallint[], streams uuid[], ix integer[], accounts uuid[], amounts bigint[], aux bigint[], states bytea[], keys bytea[], follows uuid[], chosen boolean[], instant timestamp with time zone, topics text[], owner uuid, ttl_s integer, tokens bigint[], slots integer[], scopes bytea[], INOUT codes smallint[], INOUT figures bigint[])
 RETURNS record
 LANGUAGE plpgsql
AS $function$
DECLARE answer record;
BEGIN
  FOR i IN 1 .. cardinality(kinds) LOOP
    CONTINUE WHEN NOT chosen[ix[i]];
    IF amounts[i] NOT BETWEEN 0 AND 1000000000000000 AND kinds[i] NOT IN (6, 7, 8)
      OR aux[i] NOT BETWEEN 0 AND 1000000000000000 OR tokens[i] NOT BETWEEN 0 AND 1000000000000
    THEN
      codes[i] := 11;
      CONTINUE;
    END IF;
    CASE kinds[i]
      WHEN 1 THEN answer := ledger_hold(streams[i], accounts[ix[i]], amounts[i], aux[i], states[i],
        keys[i], follows[i], instant, owner, ttl_s, topics, tokens[i],
        coalesce(scopes[slots[i]], ''));
      WHEN 2 THEN
        answer := ledger_extend(streams[i], amounts[i], states[i], follows[i], instant, topics,
          tokens[i]);
      WHEN 6 THEN answer := ledger_grant(streams[i], accounts[ix[i]], amounts[i], states[i],
        instant, topics);
      WHEN 3, 4, 5 THEN
        answer := ledger_resolve(kinds[i], streams[i], amounts[i], states[i], keys[i], follows[i],
          instant, topics, owner, tokens[i]);
      WHEN 7 THEN answer := ledger_debit(streams[i], accounts[ix[i]], amounts[i], states[i],
        instant, topics);
      WHEN 8 THEN answer := ledger_transfer(streams[i], accounts[ix[i]], amounts[i], states[i],
        instant, topics);
      WHEN 9 THEN answer := ledger_correct(streams[i], accounts[ix[i]], amounts[i], states[i],
        instant, topics);
      WHEN 10 THEN answer := ledger_close_lot(streams[i], accounts[ix[i]], states[i], instant, topics);
      ELSE RAISE EXCEPTION 'there is no entry of kind %', kinds[i];
    END CASE;
    codes[i] := answer.code; figures[i] := coalesce(answer.figure, 0);
  END LOOP;
END $function$;

CREATE OR REPLACE FUNCTION ledger_lot_again(lot uuid, account uuid, amount bigint, instant timestamp with time zone)
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
DECLARE origin record;
BEGIN
  -- A lot gets back what a call had of it, if it still counts; one that was empty is found again.
  UPDATE credit_lot SET available = available + amount WHERE lot_id = lot AND expires_at > instant;
  IF FOUND THEN RETURN true; END IF;
  IF EXISTS (SELECT FROM credit_lot WHERE lot_id = lot) THEN RETURN false; END IF;
  SELECT coalesce(k.corrected_at, g.position) AS position,
    coalesce(g.fact ->> 'kind', 'bonus') AS kind,
    coalesce((g.fact ->> 'priority')::smallint, 20::smallint) AS priority,
    coalesce((g.fact ->> 'expires_at')::timestamptz, 'infinity') AS expires_at,
    EXISTS (SELECT FROM quota q WHERE q.account_id = account AND q.scope_id = lot) AS bound
  INTO origin
  FROM grant_key k LEFT JOIN LATERAL (
    SELECT e.notification_id AS position, convert_from(e.state, 'UTF8')::jsonb AS fact
    FROM events e WHERE k.corrected_at IS NULL AND e.originator_id = account
      AND e.topic LIKE '%.credits_granted.%'
      AND position('"lot_id":"' || lot || '"' IN convert_from(e.state, 'UTF8')) > 0
    LIMIT 1
  ) g ON true
  WHERE k.lot_id = lot;
  IF origin.position IS NULL OR origin.expires_at <= instant OR EXISTS (
    -- It was closed before its end: what comes back finds it so.
    SELECT FROM events e WHERE e.originator_id = account AND e.topic LIKE '%.lot_expired.%'
      AND position('"lot_id":"' || lot || '"' IN convert_from(e.state, 'UTF8')) > 0
  ) THEN
    RETURN false;
  END IF;
  INSERT INTO credit_lot VALUES (lot, account, origin.kind, origin.priority, origin.expires_at,
    origin.position, amount, 0, origin.bound);
  UPDATE credit_account SET next_expiry = least(next_expiry, origin.expires_at)
  WHERE account_id = account;
  RETURN true;
END $function$;
