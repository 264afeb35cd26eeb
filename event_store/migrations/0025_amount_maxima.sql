-- Amounts have maxima, so that no figure of the ledger can overflow.
-- depends: 0024_installation_secret

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- The numbers are those of domain/ledger/amounts.py, in nano-USD: 10^15 for a hold, a cost or an
-- estimate, 10^16 for a grant, 10^18 for all that was granted to an account.

CREATE OR REPLACE FUNCTION ledger_grant(
  lot uuid, account uuid, amount bigint, state_ bytea, instant timestamptz, topics text[],
  OUT code smallint, OUT figure bigint
) LANGUAGE plpgsql AS $$
DECLARE fact jsonb; stream_version bigint; at bigint; expiry timestamptz;
BEGIN
  IF amount NOT BETWEEN 1 AND 10000000000000000 THEN code := 11; RETURN; END IF;
  IF EXISTS (SELECT FROM grant_key WHERE lot_id = lot) THEN code := 2; RETURN; END IF;
  SELECT greatest(1000000000000000000 - granted, 0) INTO figure
  FROM credit_account WHERE account_id = account;
  IF amount > figure THEN code := 12; RETURN; END IF;
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

CREATE OR REPLACE FUNCTION ledger_extend(
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
  IF need > 1000000000000000 - hold.amount THEN code := 11; RETURN; END IF;
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

CREATE OR REPLACE FUNCTION ledger_append_in_order(
  kinds smallint[], streams uuid[], ix int[], accounts uuid[], amounts bigint[], aux bigint[],
  states bytea[], keys bytea[], chosen boolean[], instant timestamptz, topics text[], owner uuid,
  ttl_s int, INOUT codes smallint[], INOUT figures bigint[]
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
        keys[i], instant, owner, ttl_s, topics);
      WHEN 2 THEN answer := ledger_extend(streams[i], amounts[i], states[i], instant, topics);
      WHEN 6 THEN answer := ledger_grant(streams[i], accounts[ix[i]], amounts[i], states[i],
        instant, topics);
      WHEN 3, 4, 5 THEN
        answer := ledger_resolve(kinds[i], streams[i], amounts[i], states[i], instant, topics);
      ELSE RAISE EXCEPTION 'there is no entry of kind %', kinds[i];
    END CASE;
    codes[i] := answer.code; figures[i] := coalesce(answer.figure, 0);
  END LOOP;
END $$;

-- The function stands whole in the newest migration that touches it. Its settings hold because
-- every look-up here is by key for a few rows of a large table: the one right plan, whatever the
-- statistics said when a connection planned it. The second lock is held in share mode by whoever
-- sleeps until an append: while it can be had alone, nobody needs to be notified.
CREATE OR REPLACE FUNCTION ledger_append(
  kinds smallint[], streams uuid[], ix int[], accounts uuid[], amounts bigint[], aux bigint[],
  states bytea[], keys bytea[], topics text[], owner uuid, ttl_s int,
  OUT codes smallint[], OUT figures bigint[]
) LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
  size int := cardinality(kinds); instant timestamptz; special boolean[]; heads uuid[];
  in_order record; wide int[];
BEGIN
  PERFORM pg_advisory_xact_lock(4716259);
  instant := booking_time();
  codes := array_fill(0::smallint, ARRAY[size]);
  figures := array_fill(0::bigint, ARRAY[size]);
  special := array_fill(true, ARRAY[cardinality(accounts)]);
  IF size > 2 THEN
    -- An account is special when any of its entries needs the exact path.
    SELECT array_agg(DISTINCT e.ix) INTO wide
    FROM unnest(kinds, ix, amounts, aux, streams, keys)
      AS e(kind, ix, amount, estimated, stream, key)
    LEFT JOIN open_hold h ON h.call_id = e.stream AND e.kind IN (3, 4)
    LEFT JOIN credit_lot l ON l.lot_id = h.lot_ids[1]
    WHERE e.kind NOT IN (1, 3, 4) OR length(e.key) > 0
      OR e.amount NOT BETWEEN 0 AND 1000000000000000
      OR e.estimated NOT BETWEEN 0 AND 1000000000000000
      OR (e.kind = 1 AND e.amount = 0)
      OR (e.kind IN (3, 4) AND (
        h.call_id IS NULL OR cardinality(h.lot_ids) <> 1 OR h.key_hash IS NOT NULL
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
      PERFORM ledger_append_simple(kinds, streams, ix, accounts, amounts, aux, states, heads,
        special, instant, topics, owner, ttl_s);
    EXCEPTION WHEN unique_violation THEN
      special := array_fill(true, ARRAY[cardinality(accounts)]);
    END;
  END IF;
  IF true = ANY (special) THEN
    in_order := ledger_append_in_order(kinds, streams, ix, accounts, amounts, aux, states, keys,
      special, instant, topics, owner, ttl_s, codes, figures);
    codes := in_order.codes; figures := in_order.figures;
  END IF;
  IF NOT pg_try_advisory_xact_lock(4716266) THEN
    NOTIFY events;
  END IF;
END $$;
