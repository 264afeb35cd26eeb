-- The one way money moves: a batch of entries under one lock, in one round trip.
-- depends: 0016_ledger_resolve

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE FUNCTION ledger_append_in_order(
  kinds smallint[], streams uuid[], ix int[], accounts uuid[], amounts bigint[], aux bigint[],
  states bytea[], keys bytea[], chosen boolean[], instant timestamptz, topics text[], owner uuid,
  ttl_s int, INOUT codes smallint[], INOUT figures bigint[]
) LANGUAGE plpgsql AS $$
DECLARE answer record;
BEGIN
  FOR i IN 1 .. cardinality(kinds) LOOP
    CONTINUE WHEN NOT chosen[ix[i]];
    CASE kinds[i]
      WHEN 1 THEN answer := ledger_hold(streams[i], accounts[ix[i]], amounts[i], aux[i], states[i],
        keys[i], instant, owner, ttl_s, topics);
      WHEN 2 THEN answer := ledger_extend(streams[i], amounts[i], states[i], instant, topics);
      WHEN 6 THEN answer := ledger_grant(streams[i], accounts[ix[i]], amounts[i], states[i],
        instant, topics);
      ELSE answer := ledger_resolve(kinds[i], streams[i], amounts[i], states[i], instant, topics);
    END CASE;
    codes[i] := answer.code; figures[i] := coalesce(answer.figure, 0);
  END LOOP;
END $$;

CREATE FUNCTION ledger_append_simple(
  kinds smallint[], streams uuid[], ix int[], accounts uuid[], amounts bigint[], aux bigint[],
  states bytea[], heads uuid[], skipped boolean[], instant timestamptz, topics text[], owner uuid,
  ttl_s int
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  -- Set-based: each hold lies on its account's first lot, each settlement fits its hold's only
  -- lot, so the order inside the batch changes nothing but the positions, which follow it.
  WITH entry AS MATERIALIZED (
    SELECT e.kind, e.stream, e.ix, e.amount, e.aux, e.state, e.ord
    FROM unnest(kinds, streams, ix, amounts, aux, states)
      WITH ORDINALITY AS e(kind, stream, ix, amount, aux, state, ord)
    WHERE NOT skipped[e.ix]
  ), gone AS (
    DELETE FROM open_hold h USING entry e
    WHERE e.kind IN (3, 4) AND h.call_id = e.stream
    RETURNING e.ord, e.kind, e.stream, e.state, e.ix, h.lot_ids[1] AS lot, h.amount AS held,
      CASE WHEN e.kind = 3 THEN e.amount ELSE 0 END AS cost, h.version
  ), came AS (
    INSERT INTO open_hold
    SELECT e.stream, accounts[e.ix], 1, e.amount, e.aux, ARRAY[heads[e.ix]], ARRAY[e.amount],
      owner, instant, instant + make_interval(secs => ttl_s), NULL
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
  ), sums AS (
    UPDATE credit_account a SET available = a.available + m.available, held = a.held + m.held,
      settled = a.settled + m.settled
    FROM (SELECT m.ix, sum(m.available)::bigint AS available, sum(m.held)::bigint AS held,
      sum(m.settled)::bigint AS settled FROM moved m GROUP BY m.ix) m
    WHERE a.account_id = accounts[m.ix]
  )
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
  ) f ORDER BY f.ord;
END $$;

CREATE FUNCTION ledger_append(
  kinds smallint[], streams uuid[], ix int[], accounts uuid[], amounts bigint[], aux bigint[],
  states bytea[], keys bytea[], topics text[], owner uuid, ttl_s int,
  OUT codes smallint[], OUT figures bigint[]
) LANGUAGE plpgsql AS $$
DECLARE
  size int := cardinality(kinds); instant timestamptz; special boolean[]; heads uuid[];
  in_order record; wide int[];
BEGIN
  PERFORM pg_advisory_xact_lock(4716259);
  instant := booking_time();
  codes := array_fill(0::smallint, ARRAY[size]);
  figures := array_fill(0::bigint, ARRAY[size]);
  special := array_fill(true, ARRAY[cardinality(accounts)]);
  IF size > 4 THEN
    -- An account is special when any of its entries needs the exact path.
    SELECT array_agg(DISTINCT e.ix) INTO wide
    FROM unnest(kinds, ix, amounts, streams, keys) AS e(kind, ix, amount, stream, key)
    LEFT JOIN open_hold h ON h.call_id = e.stream AND e.kind IN (3, 4)
    LEFT JOIN credit_lot l ON l.lot_id = h.lot_ids[1]
    WHERE e.kind NOT IN (1, 3, 4) OR length(e.key) > 0
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
  NOTIFY events;
END $$;

-- Every look-up here is by key for a few rows of a large table: the one right plan, whatever the
-- statistics said when a connection planned it.
ALTER FUNCTION ledger_append SET enable_seqscan = off;
ALTER FUNCTION ledger_append SET enable_hashjoin = off;
ALTER FUNCTION ledger_append SET enable_mergejoin = off;
ALTER FUNCTION ledger_append SET plan_cache_mode = force_generic_plan;
