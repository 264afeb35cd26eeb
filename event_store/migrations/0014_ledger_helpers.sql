-- Expiry of lots, and reserving in burn-down order: the parts of the exact path.
-- depends: 0013_user_secret

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE FUNCTION new_event_id(instant timestamptz) RETURNS text LANGUAGE sql VOLATILE AS $$
  -- RFC 9562 UUIDv7: 48 bits of milliseconds, then version, variant and random bits.
  SELECT overlay(overlay(gen_random_uuid()::text
    placing substr(lpad(to_hex((extract(epoch FROM instant) * 1000)::bigint), 12, '0'), 1, 8)
      || '-' || substr(lpad(to_hex((extract(epoch FROM instant) * 1000)::bigint), 12, '0'), 9, 4)
    from 1 for 13) placing '7' from 15 for 1)
$$;

CREATE FUNCTION lot_parts(ids uuid[], amounts bigint[]) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT '[' || coalesce(string_agg(
    '{"lot_id":"' || p.id || '","amount_nano_usd":' || p.amount || '}', ',' ORDER BY p.ord), '') || ']'
  FROM unnest(ids, amounts) WITH ORDINALITY AS p(id, amount, ord) WHERE p.amount > 0
$$;

CREATE FUNCTION ledger_book_expiry(account uuid, instant timestamptz, topic_ text)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE lot record; stream_version bigint;
BEGIN
  FOR lot IN
    SELECT lot_id, available, expires_at FROM credit_lot
    WHERE account_id = account AND expires_at <= instant AND available > 0
    ORDER BY priority, expires_at, sequence
  LOOP
    UPDATE credit_account
    SET version = version + 1, available = available - lot.available,
        breakage = breakage + lot.available
    WHERE account_id = account RETURNING version INTO stream_version;
    UPDATE credit_lot SET available = 0 WHERE lot_id = lot.lot_id;
    INSERT INTO events (originator_id, originator_version, topic, state, booked_at)
    VALUES (account, stream_version, topic_, convert_to(
      '{"id":"' || new_event_id(instant) || '","effective_at":"' || iso_instant(lot.expires_at)
      || '","actor":"system:expiry","correlation_id":"' || lot.lot_id || '","account_id":"'
      || account || '","lot_id":"' || lot.lot_id || '","breakage_nano_usd":' || lot.available
      || '}', 'UTF8'), instant);
  END LOOP;
  DELETE FROM credit_lot WHERE account_id = account AND available = 0 AND held = 0;
  UPDATE credit_account SET next_expiry = coalesce((
    SELECT min(expires_at) FROM credit_lot WHERE account_id = account AND expires_at > instant
  ), 'infinity') WHERE account_id = account;
END $$;

CREATE FUNCTION ledger_reserve(
  account uuid, need bigint, instant timestamptz, OUT ids uuid[], OUT amounts bigint[]
) LANGUAGE plpgsql AS $$
DECLARE lot record; part bigint; missing bigint := need;
BEGIN
  ids := '{}'; amounts := '{}';
  IF need > 0 THEN
    FOR lot IN
      SELECT lot_id, available FROM credit_lot
      WHERE account_id = account AND available > 0 AND expires_at > instant
      ORDER BY priority, expires_at, sequence
    LOOP
      part := least(lot.available, missing);
      UPDATE credit_lot SET available = available - part, held = held + part
      WHERE lot_id = lot.lot_id;
      ids := ids || lot.lot_id; amounts := amounts || part; missing := missing - part;
      EXIT WHEN missing = 0;
    END LOOP;
    ASSERT missing = 0, 'lots of the account do not sum to its available credits';
  END IF;
  UPDATE credit_account SET available = available - need, held = held + need
  WHERE account_id = account;
END $$;
