-- The reply that is kept for an idempotency key is written with its call's settlement.
-- depends: 0028_own_holds

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- A sealed reply holds its own head; those of older releases have it beside.
ALTER TABLE idempotent_reply ALTER COLUMN status DROP NOT NULL,
  ALTER COLUMN content_type DROP NOT NULL, ALTER COLUMN provider DROP NOT NULL;

DROP FUNCTION ledger_resolve;
DROP FUNCTION ledger_append_simple;

CREATE FUNCTION ledger_resolve(
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
END $$;

CREATE OR REPLACE FUNCTION ledger_append_in_order(
  kinds smallint[], streams uuid[], ix int[], accounts uuid[], amounts bigint[], aux bigint[],
  states bytea[], keys bytea[], follows uuid[], chosen boolean[], instant timestamptz,
  topics text[], owner uuid, ttl_s int, INOUT codes smallint[], INOUT figures bigint[]
) LANGUAGE plpgsql AS $$
DECLARE answer record;
BEGIN
  FOR i IN 1 .. cardinality(kinds) LOOP
    CONTINUE WHEN NOT chosen[ix[i]];
    IF amounts[i] NOT BETWEEN 0 AND 1000000000000000 AND kinds[i] <> 6
      OR aux[i] NOT BETWEEN 0 AND 1000000000000000
    THEN
      codes[i] := 11;
      CONTINUE;
    END IF;
    CASE kinds[i]
      WHEN 1 THEN answer := ledger_hold(streams[i], accounts[ix[i]], amounts[i], aux[i], states[i],
        keys[i], follows[i], instant, owner, ttl_s, topics);
      WHEN 2 THEN
        answer := ledger_extend(streams[i], amounts[i], states[i], follows[i], instant, topics);
      WHEN 6 THEN answer := ledger_grant(streams[i], accounts[ix[i]], amounts[i], states[i],
        instant, topics);
      WHEN 3, 4, 5 THEN
        answer := ledger_resolve(kinds[i], streams[i], amounts[i], states[i], keys[i], follows[i],
          instant, topics, owner);
      ELSE RAISE EXCEPTION 'there is no entry of kind %', kinds[i];
    END CASE;
    codes[i] := answer.code; figures[i] := coalesce(answer.figure, 0);
  END LOOP;
END $$;

CREATE FUNCTION ledger_append_simple(
  kinds smallint[], streams uuid[], ix int[], accounts uuid[], amounts bigint[], aux bigint[],
  states bytea[], keys bytea[], heads uuid[], skipped boolean[], instant timestamptz,
  topics text[], owner uuid, ttl_s int
) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
  numbers int[]; sums bigint[];
  left_over bigint[] := array_fill(0::bigint, ARRAY[cardinality(accounts)]);
BEGIN
  -- Set-based: each hold lies on its account's first lot, each settlement fits its hold's only
  -- lot, so the order inside the batch changes nothing but the positions, which follow it.
  WITH entry AS MATERIALIZED (
    SELECT e.kind, e.stream, e.ix, e.amount, e.aux, e.state, e.key, e.ord
    FROM unnest(kinds, streams, ix, amounts, aux, states, keys)
      WITH ORDINALITY AS e(kind, stream, ix, amount, aux, state, key, ord)
    WHERE NOT skipped[e.ix]
  ), gone AS (
    DELETE FROM open_hold h USING entry e
    WHERE e.kind IN (3, 4) AND h.call_id = e.stream
    RETURNING e.ord, e.kind, e.stream, e.state, e.ix, h.lot_ids[1] AS lot, h.amount AS held,
      CASE WHEN e.kind = 3 THEN e.amount ELSE 0 END AS cost, h.version, h.key_hash, e.key
  ), came AS (
    INSERT INTO open_hold
    SELECT e.stream, accounts[e.ix], 1, e.amount, e.aux, ARRAY[heads[e.ix]], ARRAY[e.amount],
      owner, instant, instant + make_interval(secs => ttl_s),
      CASE WHEN length(e.key) > 0 THEN substr(e.key, 1, 32) END,
      convert_from(substr(e.state, 8, 36), 'UTF8')::uuid
    FROM entry e WHERE e.kind = 1
  ), moved AS (
    SELECT m.ix, m.lot, sum(m.available)::bigint AS available, sum(m.held)::bigint AS held,
      sum(m.settled)::bigint AS settled
    FROM (
      SELECT e.ix, heads[e.ix] AS lot, -e.amount AS available, e.amount AS held, 0 AS settled
      FROM entry e WHERE e.kind = 1
      UNION ALL
      SELECT g.ix, g.lot, g.held - g.cost, -g.held, g.cost FROM gone g
    ) m GROUP BY m.ix, m.lot
  ), lots AS (
    UPDATE credit_lot l SET available = l.available + m.available, held = l.held + m.held
    FROM moved m WHERE l.lot_id = m.lot
  ), changed AS (
    UPDATE credit_account a SET available = a.available + m.available, held = a.held + m.held,
      settled = a.settled + m.settled
    FROM (SELECT m.ix, sum(m.available)::bigint AS available, sum(m.held)::bigint AS held,
      sum(m.settled)::bigint AS settled FROM moved m GROUP BY m.ix) m
    WHERE a.account_id = accounts[m.ix]
    RETURNING m.ix, a.available
  ), taken AS (
    -- A key that comes twice in one batch is a unique violation, and decided in order.
    INSERT INTO idempotency_key (key_hash, digest, call_id, state)
    SELECT substr(e.key, 1, 32), substr(e.key, 33), e.stream, 'held'
    FROM entry e WHERE e.kind = 1 AND length(e.key) > 0
  ), ended AS (
    UPDATE idempotency_key k SET state = CASE g.kind WHEN 3 THEN 'settled' ELSE 'voided' END
    FROM gone g WHERE k.key_hash = g.key_hash
  ), kept AS (
    INSERT INTO idempotent_reply (call_id, body)
    SELECT g.stream, g.key FROM gone g WHERE g.kind = 3 AND length(g.key) > 0
    ON CONFLICT (call_id) DO UPDATE SET status = NULL, content_type = NULL, provider = NULL,
      body = excluded.body, stored_at = excluded.stored_at
  ), written AS (
    INSERT INTO events (originator_id, originator_version, topic, state, booked_at)
    SELECT f.stream, f.version, f.topic, f.state, instant FROM (
      SELECT e.ord, e.stream, 1 AS version, topics[1] AS topic, e.state || convert_to(
        ',"lots":[{"lot_id":"' || heads[e.ix] || '","amount_nano_usd":' || e.amount || '}]}', 'UTF8')
        AS state
      FROM entry e WHERE e.kind = 1
      UNION ALL
      SELECT g.ord, g.stream, g.version + 1, topics[g.kind], g.state || convert_to(
        ',"held_nano_usd":' || g.held || ',"settled_nano_usd":' || g.cost
        || ',"released_nano_usd":' || g.held - g.cost
        || ',"breakage_nano_usd":0,"house_loss_nano_usd":0,"lots":['
        || CASE WHEN g.cost > 0 THEN '{"lot_id":"' || g.lot || '","amount_nano_usd":' || g.cost || '}'
           ELSE '' END || CASE WHEN g.held > g.cost THEN '],"released_lots":[{"lot_id":"' || g.lot
        || '","amount_nano_usd":' || g.held - g.cost || '}]}' ELSE ']}' END, 'UTF8')
      FROM gone g
    ) f ORDER BY f.ord
  )
  SELECT array_agg(c.ix), array_agg(c.available) INTO numbers, sums FROM changed c;
  FOR i IN 1 .. coalesce(cardinality(numbers), 0) LOOP
    left_over[numbers[i]] := sums[i];
  END LOOP;
  RETURN left_over;
END $$;

-- The function stands whole in the newest migration that touches it. Its settings hold because
-- every look-up here is by key for a few rows of a large table: the one right plan, whatever the
-- statistics said when a connection planned it. The second lock is held in share mode by whoever
-- sleeps until an append: while it can be had alone, nobody needs to be notified.
CREATE OR REPLACE FUNCTION ledger_append(
  kinds smallint[], streams uuid[], ix int[], accounts uuid[], amounts bigint[], aux bigint[],
  states bytea[], keys bytea[], follows uuid[], topics text[], owner uuid, ttl_s int,
  OUT codes smallint[], OUT figures bigint[]
) LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
  size int := cardinality(kinds); instant timestamptz; special boolean[]; heads uuid[];
  in_order record; wide int[]; left_over bigint[];
BEGIN
  PERFORM pg_advisory_xact_lock(4716259);
  instant := booking_time();
  codes := array_fill(0::smallint, ARRAY[size]);
  figures := array_fill(0::bigint, ARRAY[size]);
  special := array_fill(true, ARRAY[cardinality(accounts)]);
  IF size > 2 THEN
    -- An account is special when any of its entries needs the exact path.
    SELECT array_agg(DISTINCT e.ix) INTO wide
    FROM unnest(kinds, ix, amounts, aux, streams, keys, follows)
      AS e(kind, ix, amount, estimated, stream, key, follows)
    LEFT JOIN open_hold h ON h.call_id = e.stream AND e.kind IN (3, 4)
    LEFT JOIN credit_lot l ON l.lot_id = h.lot_ids[1]
    LEFT JOIN idempotency_key k
      ON k.key_hash = CASE WHEN e.kind = 1 AND length(e.key) > 0 THEN substr(e.key, 1, 32) END
    WHERE e.kind NOT IN (1, 3, 4) OR k.key_hash IS NOT NULL
      OR e.amount NOT BETWEEN 0 AND 1000000000000000
      OR e.estimated NOT BETWEEN 0 AND 1000000000000000
      OR (e.kind = 1 AND (e.amount = 0 OR e.follows <> '00000000-0000-0000-0000-000000000000'))
      OR (e.kind IN (3, 4) AND (
        h.call_id IS NULL OR cardinality(h.lot_ids) <> 1
        OR (h.hold_id <> e.follows AND e.follows <> '00000000-0000-0000-0000-000000000000')
        OR h.account_id <> accounts[e.ix] OR l.expires_at <= instant
        OR (e.kind = 3 AND e.amount > h.amount)));
    SELECT array_agg(n.ix = ANY (wide) IS TRUE OR a.account_id IS NULL OR a.next_expiry <= instant
        OR coalesce(head.available, 0) < n.need ORDER BY n.ix),
      array_agg(head.lot_id ORDER BY n.ix)
    INTO special, heads
    FROM (
      SELECT e.ix, coalesce(sum(e.amount) FILTER (WHERE e.kind = 1), 0) AS need
      FROM unnest(ix, amounts, kinds) AS e(ix, amount, kind) GROUP BY e.ix
    ) n
    LEFT JOIN credit_account a ON a.account_id = accounts[n.ix]
    LEFT JOIN LATERAL (
      SELECT l.lot_id, l.available FROM credit_lot l
      WHERE l.account_id = a.account_id AND l.available > 0
      ORDER BY l.priority, l.expires_at, l.sequence LIMIT 1
    ) head ON true;
    BEGIN
      left_over := ledger_append_simple(kinds, streams, ix, accounts, amounts, aux, states, keys,
        heads, special, instant, topics, owner, ttl_s);
      SELECT array_agg(left_over[e]) INTO figures FROM unnest(ix) AS e;
    EXCEPTION WHEN unique_violation THEN
      special := array_fill(true, ARRAY[cardinality(accounts)]);
    END;
  END IF;
  IF true = ANY (special) THEN
    in_order := ledger_append_in_order(kinds, streams, ix, accounts, amounts, aux, states, keys,
      follows, special, instant, topics, owner, ttl_s, codes, figures);
    codes := in_order.codes; figures := in_order.figures;
  END IF;
  IF NOT pg_try_advisory_xact_lock(4716266) THEN
    NOTIFY events;
  END IF;
END $$;
