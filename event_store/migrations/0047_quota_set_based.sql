-- Accounts with quotas go set-based too, where every quota has room for the whole batch.
-- depends: 0046_quota_append

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- The quotas of all holds of one key and user in a batch; `told` is what their events say of them,
-- for format() with 1, tokens and amount.
CREATE TYPE quota_group AS (ids uuid[], begins timestamptz[], units smallint[], told text);

-- What binds the holds of a batch, by the rank of their account, key and user among them; `lacking`
-- are the accounts of which a quota has no room for all of them, `fresh_…` the windows that are not
-- made yet. Outcomes only make room.
CREATE FUNCTION ledger_quota_groups(
  kinds smallint[], ix int[], accounts uuid[], amounts bigint[], tokens bigint[], key_ids uuid[],
  user_ids uuid[], heads uuid[], chosen boolean[], instant timestamptz,
  OUT groups quota_group[], OUT lacking int[], OUT fresh_ix int[], OUT fresh_ids uuid[],
  OUT fresh_begins timestamptz[]
) LANGUAGE plpgsql STABLE AS $$
BEGIN
  WITH asked AS MATERIALIZED (
    SELECT e.ix, e.key_id, e.user_id, count(*) AS requests, sum(e.amount) AS amount,
      sum(e.tokens) AS tokens, row_number() OVER (ORDER BY e.ix, e.key_id, e.user_id) AS rank
    FROM unnest(kinds, ix, amounts, tokens, key_ids, user_ids)
      AS e(kind, ix, amount, tokens, key_id, user_id)
    WHERE e.kind = 1 AND chosen[e.ix] GROUP BY e.ix, e.key_id, e.user_id
  ), part AS MATERIALIZED (
    SELECT a.ix, a.rank, q.quota_id, q.code, n.begins, q.quota_limit,
      coalesce(w.used + w.held, 0) AS taken, q.quota_id IS NOT NULL AND w.quota_id IS NULL AS fresh,
      CASE q.code WHEN 1 THEN a.requests WHEN 2 THEN a.tokens ELSE a.amount END AS claim
    FROM asked a
    LEFT JOIN quota q ON q.account_id = accounts[a.ix] AND NOT q.removed
      AND q.scope_id = ANY (ARRAY[accounts[a.ix], a.key_id, a.user_id, heads[a.ix]])
    CROSS JOIN LATERAL (SELECT quota_begin(q.period, q.zone, instant) AS begins) n
    LEFT JOIN quota_window w ON w.quota_id = q.quota_id AND w.begins = n.begins
  )
  SELECT (
    SELECT array_agg(ROW(g.ids, g.begins, g.units, g.told)::quota_group ORDER BY g.rank)
    FROM (
      SELECT p.rank, array_agg(p.quota_id ORDER BY p.quota_id) FILTER (WHERE p.code > 0) AS ids,
        array_agg(p.begins ORDER BY p.quota_id) FILTER (WHERE p.code > 0) AS begins,
        array_agg(p.code ORDER BY p.quota_id) FILTER (WHERE p.code > 0) AS units,
        ',"quotas":[' || string_agg('{"quota_id":"' || p.quota_id || '","begins":"'
          || to_char(p.begins AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
          || '","held":%' || p.code || '$s}', ',' ORDER BY p.quota_id) || ']' AS told
      FROM part p GROUP BY p.rank
    ) g
  ), (
    SELECT array_agg(DISTINCT f.ix) FROM (
      SELECT min(p.ix) AS ix FROM part p GROUP BY p.quota_id, p.quota_limit, p.taken
      HAVING sum(p.claim) + p.taken > p.quota_limit
    ) f
  ), (SELECT array_agg(p.ix ORDER BY p.quota_id) FROM part p WHERE p.fresh),
  (SELECT array_agg(p.quota_id ORDER BY p.quota_id) FROM part p WHERE p.fresh),
  (SELECT array_agg(p.begins ORDER BY p.quota_id) FROM part p WHERE p.fresh)
  INTO groups, lacking, fresh_ix, fresh_ids, fresh_begins;
END $$;

-- As `ledger_append_simple`, of accounts with quotas that have room for all of it.
CREATE FUNCTION ledger_append_bound(
  kinds smallint[], streams uuid[], ix int[], accounts uuid[], amounts bigint[], aux bigint[],
  states bytea[], keys bytea[], heads uuid[], chosen boolean[], asked boolean[],
  instant timestamptz, topics text[], owner uuid, ttl_s int, tokens bigint[], key_ids uuid[],
  user_ids uuid[], groups quota_group[]
) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
  numbers int[]; sums bigint[];
  left_over bigint[] := array_fill(0::bigint, ARRAY[cardinality(accounts)]);
BEGIN
  -- Set-based: each hold lies on its account's first lot, each settlement fits its hold's only
  -- lot, so the order inside the batch changes nothing but the positions, which follow it.
  WITH entry AS MATERIALIZED (
    SELECT r.kind, r.stream, r.ix, r.amount, r.aux, r.state, r.key, r.tokens, r.ord, r.rank,
      CASE WHEN r.kind = 1 THEN groups[r.rank] END AS bound
    FROM (
      SELECT e.kind, e.stream, e.ix, e.amount, e.aux, e.state, e.key, e.tokens, e.ord,
        dense_rank() OVER (PARTITION BY e.kind = 1 ORDER BY e.ix, e.key_id, e.user_id)::int AS rank
      FROM unnest(kinds, streams, ix, amounts, aux, states, keys, tokens, key_ids, user_ids)
        WITH ORDINALITY
        AS e(kind, stream, ix, amount, aux, state, key, tokens, key_id, user_id, ord)
      WHERE asked[e.ix]
    ) r WHERE chosen[r.ix]
  ), gone AS (
    DELETE FROM open_hold h USING entry e
    WHERE e.kind IN (3, 4) AND h.call_id = e.stream
    RETURNING e.ord, e.kind, e.stream, e.state, e.ix, h.lot_ids[1] AS lot, h.amount AS held,
      CASE WHEN e.kind = 3 THEN e.amount ELSE 0 END AS cost, h.version, h.key_hash, e.key,
      e.tokens, h.quota_ids, h.quota_begins, h.quota_amounts, h.quota_units
  ), windows AS (
    UPDATE quota_window w SET used = least(w.used + t.used, 4000000000000000000),
      held = w.held + t.held
    FROM (
      SELECT m.id, m.begins, sum(m.used)::bigint AS used, sum(m.held)::bigint AS held
      FROM (
        SELECT p.id, p.begins, -p.held AS held, CASE
          WHEN g.kind = 4 THEN 0 WHEN p.unit = 1 THEN 1 WHEN p.unit = 2 THEN g.tokens
          ELSE g.cost END AS used
        FROM gone g
        CROSS JOIN LATERAL unnest(g.quota_ids, g.quota_begins, g.quota_amounts, g.quota_units)
          AS p(id, begins, held, unit)
        UNION ALL
        SELECT p.id, p.begins, CASE p.unit WHEN 1 THEN c.requests WHEN 2 THEN c.tokens
          ELSE c.amount END, 0
        FROM (
          SELECT e.rank, count(*) AS requests, sum(e.tokens) AS tokens, sum(e.amount) AS amount
          FROM entry e WHERE e.kind = 1 GROUP BY e.rank
        ) c
        CROSS JOIN LATERAL unnest(
          (groups[c.rank]).ids, (groups[c.rank]).begins, (groups[c.rank]).units
        ) AS p(id, begins, unit)
      ) m GROUP BY m.id, m.begins
    ) t WHERE w.quota_id = t.id AND w.begins = t.begins
  ), came AS (
    INSERT INTO open_hold
    SELECT e.stream, accounts[e.ix], 1, e.amount, e.aux, ARRAY[heads[e.ix]], ARRAY[e.amount],
      owner, instant, instant + make_interval(secs => ttl_s),
      CASE WHEN length(e.key) > 0 THEN substr(e.key, 1, 32) END,
      convert_from(substr(e.state, 8, 36), 'UTF8')::uuid, (e.bound).ids, (e.bound).begins,
      CASE WHEN (e.bound).ids IS NOT NULL THEN ARRAY(
        SELECT CASE u.unit WHEN 1 THEN 1 WHEN 2 THEN e.tokens ELSE e.amount END
        FROM unnest((e.bound).units) WITH ORDINALITY AS u(unit, n)) END, (e.bound).units
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
        ',"lots":[{"lot_id":"' || heads[e.ix] || '","amount_nano_usd":' || e.amount || '}]'
        || coalesce(format((e.bound).told, 1, e.tokens, e.amount), '') || '}', 'UTF8') AS state
      FROM entry e WHERE e.kind = 1
      UNION ALL
      SELECT g.ord, g.stream, g.version + 1, topics[g.kind], g.state || convert_to(
        ',"held_nano_usd":' || g.held || ',"settled_nano_usd":' || g.cost
        || ',"released_nano_usd":' || g.held - g.cost
        || ',"breakage_nano_usd":0,"house_loss_nano_usd":0,"lots":['
        || CASE WHEN g.cost > 0 THEN '{"lot_id":"' || g.lot || '","amount_nano_usd":' || g.cost || '}'
           ELSE '' END || CASE WHEN g.held > g.cost THEN '],"released_lots":[{"lot_id":"' || g.lot
        || '","amount_nano_usd":' || g.held - g.cost || '}]' ELSE ']' END
        || CASE WHEN g.quota_ids IS NULL THEN '' ELSE (
          SELECT ',"quotas":[' || string_agg('{"quota_id":"' || p.id || '","begins":"'
            || to_char(p.begins AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
            || '","held":' || p.held || ',"used":' || CASE
              WHEN g.kind = 4 THEN 0 WHEN p.unit = 1 THEN 1 WHEN p.unit = 2 THEN g.tokens
              ELSE g.cost END || ',"overrun":0}', ',') || ']'
          FROM unnest(g.quota_ids, g.quota_begins, g.quota_amounts, g.quota_units)
            AS p(id, begins, held, unit)
        ) END || '}', 'UTF8')
      FROM gone g
    ) f ORDER BY f.ord
  )
  SELECT array_agg(c.ix), array_agg(c.available) INTO numbers, sums FROM changed c;
  FOR i IN 1 .. coalesce(cardinality(numbers), 0) LOOP
    left_over[numbers[i]] := sums[i];
  END LOOP;
  RETURN left_over;
END $$;

CREATE OR REPLACE FUNCTION ledger_append(
  kinds smallint[], streams uuid[], ix int[], accounts uuid[], amounts bigint[], aux bigint[],
  states bytea[], keys bytea[], follows uuid[], topics text[], owner uuid, ttl_s int,
  tokens bigint[], key_ids uuid[], user_ids uuid[],
  OUT codes smallint[], OUT figures bigint[]
) LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
  size int := cardinality(kinds); instant timestamptz; special boolean[]; heads uuid[];
  bounds boolean[]; chosen boolean[]; asked boolean[]; skipped boolean[]; quotas record;
  left_bound bigint[];
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
    FROM unnest(kinds, ix, amounts, aux, streams, keys, follows, tokens)
      AS e(kind, ix, amount, estimated, stream, key, follows, tokens)
    LEFT JOIN open_hold h ON h.call_id = e.stream AND e.kind IN (3, 4)
    LEFT JOIN credit_lot l ON l.lot_id = h.lot_ids[1]
    LEFT JOIN idempotency_key k
      ON k.key_hash = CASE WHEN e.kind = 1 AND length(e.key) > 0 THEN substr(e.key, 1, 32) END
    WHERE e.kind NOT IN (1, 3, 4) OR k.key_hash IS NOT NULL
      OR e.amount NOT BETWEEN 0 AND 1000000000000000
      OR e.estimated NOT BETWEEN 0 AND 1000000000000000
      OR e.tokens NOT BETWEEN 0 AND 1000000000000
      OR (e.kind = 1 AND (e.amount = 0 OR e.follows <> '00000000-0000-0000-0000-000000000000'))
      OR (e.kind IN (3, 4) AND (
        h.call_id IS NULL OR cardinality(h.lot_ids) <> 1
        OR (h.hold_id <> e.follows AND e.follows <> '00000000-0000-0000-0000-000000000000')
        OR h.account_id <> accounts[e.ix] OR l.expires_at <= instant
        OR (e.kind = 3 AND e.amount > h.amount)
        OR CASE WHEN h.quota_ids IS NULL THEN false ELSE
          NOT EXISTS (SELECT FROM credit_account b WHERE b.account_id = h.account_id AND b.bound)
          OR (e.kind = 3 AND EXISTS (SELECT FROM unnest(h.quota_units, h.quota_amounts)
            AS p(unit, held) WHERE p.unit = 2 AND p.held < e.tokens)) END));
    SELECT array_agg(n.ix = ANY (wide) IS TRUE OR a.account_id IS NULL
        OR a.next_expiry <= instant
        -- What can be spent is known at once only where no other lot has quotas of its own.
        OR CASE WHEN a.bound THEN EXISTS (SELECT FROM credit_lot o WHERE o.account_id = a.account_id
          AND o.bound AND o.available > 0 AND o.lot_id <> head.lot_id) ELSE false END
        OR coalesce(head.available, 0) < n.need ORDER BY n.ix),
      array_agg(head.lot_id ORDER BY n.ix), array_agg(coalesce(a.bound, false) ORDER BY n.ix)
    INTO special, heads, bounds
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
    skipped := special;
    BEGIN
      IF true = ANY (bounds) THEN
        SELECT array_agg(u.is_bound AND NOT u.is_special ORDER BY u.ord) INTO chosen
        FROM unnest(bounds, special) WITH ORDINALITY AS u(is_bound, is_special, ord);
        quotas := ledger_quota_groups(kinds, ix, accounts, amounts, tokens, key_ids, user_ids, heads,
          chosen, instant);
        asked := chosen;
        FOR i IN 1 .. coalesce(cardinality(quotas.lacking), 0) LOOP
          chosen[quotas.lacking[i]] := false;
          special[quotas.lacking[i]] := true;
        END LOOP;
        SELECT array_agg(u.is_bound OR u.is_special ORDER BY u.ord) INTO skipped
        FROM unnest(bounds, special) WITH ORDINALITY AS u(is_bound, is_special, ord);
        IF true = ANY (chosen) THEN
          INSERT INTO quota_window (quota_id, begins)
          SELECT f.quota_id, f.begins
          FROM unnest(quotas.fresh_ix, quotas.fresh_ids, quotas.fresh_begins)
            AS f(ix, quota_id, begins)
          WHERE chosen[f.ix] ON CONFLICT DO NOTHING;
          left_bound := ledger_append_bound(kinds, streams, ix, accounts, amounts, aux, states, keys,
            heads, chosen, asked, instant, topics, owner, ttl_s, tokens, key_ids, user_ids,
            quotas.groups);
        END IF;
      END IF;
      IF false = ANY (skipped) THEN
        left_over := ledger_append_simple(kinds, streams, ix, accounts, amounts, aux, states, keys,
          heads, skipped, instant, topics, owner, ttl_s);
      END IF;
      SELECT array_agg(coalesce(CASE WHEN chosen[e] THEN left_bound[e] ELSE left_over[e] END, 0))
      INTO figures FROM unnest(ix) AS e;
    EXCEPTION WHEN unique_violation THEN
      special := array_fill(true, ARRAY[cardinality(accounts)]);
    END;
  END IF;
  IF true = ANY (special) THEN
    in_order := ledger_append_in_order(kinds, streams, ix, accounts, amounts, aux, states, keys,
      follows, special, instant, topics, owner, ttl_s, tokens, key_ids, user_ids, codes, figures);
    codes := in_order.codes; figures := in_order.figures;
  END IF;
  IF NOT pg_try_advisory_xact_lock(4716266) THEN
    NOTIFY events;
  END IF;
END $$;
