-- The append function as it runs since 0022, whole: nothing of it changes here.
-- depends: 0022_notify_listeners

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

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
  IF NOT pg_try_advisory_xact_lock(4716266) THEN
    NOTIFY events;
  END IF;
END $$;
