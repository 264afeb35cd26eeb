-- A settlement counts its house loss against the account's day, and answers with it.
-- depends: 0034_key_ends

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE OR REPLACE FUNCTION ledger_resolve(
  kind smallint, call uuid, cost bigint, state_ bytea, reply bytea, follows uuid, instant timestamptz,
  topics text[], owner uuid,
  OUT code smallint, OUT figure bigint
) LANGUAGE plpgsql AS $$
DECLARE
  hold record; lot record; taken bigint; rest bigint; missing bigint;
  released bigint := 0; broken bigint := 0; loss bigint := 0; expiry timestamptz; due timestamptz;
  used bigint[] := '{}'; given bigint[] := '{}'; lost bigint[] := '{}';
  more uuid[] := '{}'; more_amounts bigint[] := '{}'; beyond bigint := 0; spendable bigint;
BEGIN
  SELECT * INTO hold FROM open_hold WHERE call_id = call;
  IF NOT FOUND OR (
    hold.hold_id <> follows AND follows <> '00000000-0000-0000-0000-000000000000'
  ) THEN
    code := ledger_missing(call, state_, follows, topics);
    IF code = 3 AND kind = 3 THEN
      PERFORM ledger_book_late(call, cost, state_, follows, instant, topics);
    END IF;
    RETURN;
  END IF;
  IF kind = 5 THEN
    IF hold.expires_at > instant OR EXISTS (
      SELECT FROM process_lease
      WHERE owner_id = hold.owner_id AND owner_id <> owner AND expires_at > clock_timestamp()
    ) THEN code := 10; RETURN; END IF;
    loss := hold.estimated_cost;
  END IF;
  SELECT next_expiry INTO due FROM credit_account WHERE account_id = hold.account_id;
  IF due <= instant THEN
    PERFORM ledger_book_expiry(hold.account_id, instant, topics[7]);
  END IF;
  missing := CASE WHEN kind = 3 THEN cost ELSE 0 END;
  FOR i IN 1 .. cardinality(hold.lot_ids) LOOP
    taken := least(missing, hold.lot_amounts[i]);
    rest := hold.lot_amounts[i] - taken;
    missing := missing - taken;
    SELECT expires_at INTO expiry FROM credit_lot WHERE lot_id = hold.lot_ids[i];
    UPDATE credit_lot SET held = held - hold.lot_amounts[i],
      available = available + CASE WHEN expiry > instant THEN rest ELSE 0 END
    WHERE lot_id = hold.lot_ids[i];
    used := used || taken;
    IF expiry > instant THEN
      released := released + rest; given := given || rest; lost := lost || 0::bigint;
    ELSE
      broken := broken + rest; given := given || 0::bigint; lost := lost || rest;
    END IF;
  END LOOP;
  IF missing > 0 THEN
    FOR lot IN
      SELECT lot_id, available FROM credit_lot
      WHERE account_id = hold.account_id AND available > 0 AND expires_at > instant
      ORDER BY priority, expires_at, sequence
    LOOP
      taken := least(lot.available, missing);
      UPDATE credit_lot SET available = available - taken WHERE lot_id = lot.lot_id;
      more := more || lot.lot_id; more_amounts := more_amounts || taken;
      beyond := beyond + taken; missing := missing - taken;
      EXIT WHEN missing = 0;
    END LOOP;
    loss := loss + missing;
  END IF;
  UPDATE credit_account SET available = available + released - beyond, held = held - hold.amount,
    settled = settled + hold.amount - released - broken + beyond, breakage = breakage + broken
  WHERE account_id = hold.account_id RETURNING available INTO spendable;
  DELETE FROM open_hold WHERE call_id = call;
  DELETE FROM credit_lot WHERE account_id = hold.account_id AND available = 0 AND held = 0;
  INSERT INTO events (originator_id, originator_version, topic, state, booked_at)
  VALUES (call, hold.version + 1, topics[kind], state_ || convert_to(
    ',"held_nano_usd":' || hold.amount
    || ',"settled_nano_usd":' || hold.amount - released - broken + beyond
    || ',"released_nano_usd":' || released || ',"breakage_nano_usd":' || broken
    || ',"house_loss_nano_usd":' || loss || ',"lots":' || lot_parts(hold.lot_ids, used)
    || CASE WHEN released > 0 THEN ',"released_lots":' || lot_parts(hold.lot_ids, given) ELSE '' END
    || CASE WHEN broken > 0 THEN ',"forfeited_lots":' || lot_parts(hold.lot_ids, lost) ELSE '' END
    || CASE WHEN beyond > 0 THEN ',"beyond_lots":' || lot_parts(more, more_amounts) ELSE '' END
    || '}', 'UTF8'), instant);
  IF hold.key_hash IS NOT NULL THEN
    UPDATE idempotency_key SET state = (ARRAY['', '', 'settled', 'voided', 'expired'])[kind]
    WHERE key_hash = hold.key_hash;
  END IF;
  IF kind = 3 AND length(reply) > 0 THEN
    INSERT INTO idempotent_reply (call_id, body) VALUES (call, reply)
    ON CONFLICT (call_id) DO UPDATE SET status = NULL, content_type = NULL, provider = NULL,
      body = excluded.body, stored_at = excluded.stored_at;
  END IF;
  code := 0; figure := spendable;
  IF kind = 3 AND loss > 0 THEN
    -- Nothing is left then, and the figure says what nobody paid.
    figure := -loss;
    INSERT INTO house_loss_of_day AS known (day, account_id, nano_usd)
    VALUES ((instant AT TIME ZONE 'UTC')::date, hold.account_id, loss)
    ON CONFLICT (day, account_id) DO UPDATE
      SET nano_usd = least(known.nano_usd::numeric + loss, 9223372036854775807);
  END IF;
END $$;
