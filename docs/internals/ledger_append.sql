-- The append as it runs: the function `ledger_append`, whatever it calls, in the order in which it
-- is called, and the triggers of the log. Made by `make functions` from a freshly migrated
-- database, as pg_get_functiondef gives it; a test compares. To read, not to run or edit: what
-- counts is the migrations.

CREATE OR REPLACE FUNCTION public.ledger_append(kinds smallint[], streams uuid[], ix integer[], accounts uuid[], amounts bigint[], aux bigint[], states bytea[], keys bytea[], follows uuid[], topics text[], owner uuid, ttl_s integer, tokens bigint[], key_ids uuid[], user_ids uuid[], OUT codes smallint[], OUT figures bigint[])
 RETURNS record
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
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
END $function$;

CREATE OR REPLACE FUNCTION public.booking_time()
 RETURNS timestamp with time zone
 LANGUAGE sql
AS $function$
  SELECT greatest(
    booking_clock(), (SELECT booked_at FROM events ORDER BY notification_id DESC LIMIT 1))
$function$;

CREATE OR REPLACE FUNCTION public.booking_clock()
 RETURNS timestamp with time zone
 LANGUAGE sql
AS $function$ SELECT clock_timestamp() $function$;

CREATE OR REPLACE FUNCTION public.ledger_quota_groups(kinds smallint[], ix integer[], accounts uuid[], amounts bigint[], tokens bigint[], key_ids uuid[], user_ids uuid[], heads uuid[], chosen boolean[], instant timestamp with time zone, OUT groups quota_group[], OUT lacking integer[], OUT fresh_ix integer[], OUT fresh_ids uuid[], OUT fresh_begins timestamp with time zone[])
 RETURNS record
 LANGUAGE plpgsql
 STABLE
AS $function$
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
END $function$;

CREATE OR REPLACE FUNCTION public.quota_begin(period text, zone text, instant timestamp with time zone)
 RETURNS timestamp with time zone
 LANGUAGE sql
 STABLE
AS $function$
  SELECT CASE period WHEN 'total' THEN timestamptz 'epoch' ELSE date_trunc(period, instant, zone) END
$function$;

CREATE OR REPLACE FUNCTION public.ledger_append_bound(kinds smallint[], streams uuid[], ix integer[], accounts uuid[], amounts bigint[], aux bigint[], states bytea[], keys bytea[], heads uuid[], chosen boolean[], asked boolean[], instant timestamp with time zone, topics text[], owner uuid, ttl_s integer, tokens bigint[], key_ids uuid[], user_ids uuid[], groups quota_group[])
 RETURNS bigint[]
 LANGUAGE plpgsql
AS $function$
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
END $function$;

CREATE OR REPLACE FUNCTION public.ledger_append_simple(kinds smallint[], streams uuid[], ix integer[], accounts uuid[], amounts bigint[], aux bigint[], states bytea[], keys bytea[], heads uuid[], skipped boolean[], instant timestamp with time zone, topics text[], owner uuid, ttl_s integer)
 RETURNS bigint[]
 LANGUAGE plpgsql
AS $function$
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
END $function$;

CREATE OR REPLACE FUNCTION public.ledger_append_in_order(kinds smallint[], streams uuid[], ix integer[], accounts uuid[], amounts bigint[], aux bigint[], states bytea[], keys bytea[], follows uuid[], chosen boolean[], instant timestamp with time zone, topics text[], owner uuid, ttl_s integer, tokens bigint[], key_ids uuid[], user_ids uuid[], INOUT codes smallint[], INOUT figures bigint[])
 RETURNS record
 LANGUAGE plpgsql
AS $function$
DECLARE answer record;
BEGIN
  FOR i IN 1 .. cardinality(kinds) LOOP
    CONTINUE WHEN NOT chosen[ix[i]];
    IF amounts[i] NOT BETWEEN 0 AND 1000000000000000 AND kinds[i] <> 6
      OR aux[i] NOT BETWEEN 0 AND 1000000000000000 OR tokens[i] NOT BETWEEN 0 AND 1000000000000
    THEN
      codes[i] := 11;
      CONTINUE;
    END IF;
    CASE kinds[i]
      WHEN 1 THEN answer := ledger_hold(streams[i], accounts[ix[i]], amounts[i], aux[i], states[i],
        keys[i], follows[i], instant, owner, ttl_s, topics, tokens[i], key_ids[i], user_ids[i]);
      WHEN 2 THEN
        answer := ledger_extend(streams[i], amounts[i], states[i], follows[i], instant, topics,
          tokens[i]);
      WHEN 6 THEN answer := ledger_grant(streams[i], accounts[ix[i]], amounts[i], states[i],
        instant, topics);
      WHEN 3, 4, 5 THEN
        answer := ledger_resolve(kinds[i], streams[i], amounts[i], states[i], keys[i], follows[i],
          instant, topics, owner, tokens[i]);
      ELSE RAISE EXCEPTION 'there is no entry of kind %', kinds[i];
    END CASE;
    codes[i] := answer.code; figures[i] := coalesce(answer.figure, 0);
  END LOOP;
END $function$;

CREATE OR REPLACE FUNCTION public.ledger_hold(call uuid, account uuid, need bigint, estimated bigint, state_ bytea, key bytea, follows uuid, instant timestamp with time zone, owner uuid, ttl_s integer, topics text[], tokens bigint, key_id uuid, user_id uuid, OUT code smallint, OUT figure bigint)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
DECLARE
  last record; ended record; known record; acct record; parts record; next_version bigint := 1;
  is_new boolean := false; fact jsonb; quotas record; barred record; barred_lots uuid[] := '{}';
  spare bigint; quota_ids uuid[]; quota_begins timestamptz[]; quota_amounts bigint[];
  quota_units smallint[];
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
  SELECT available, next_expiry, bound INTO acct FROM credit_account WHERE account_id = account;
  IF NOT FOUND THEN
    acct.available := 0;
    is_new := true;
  ELSIF acct.next_expiry <= instant THEN
    PERFORM ledger_book_expiry(account, instant, topics[7]);
    SELECT available INTO acct.available FROM credit_account WHERE account_id = account;
  END IF;
  spare := acct.available;
  IF acct.bound THEN
    quotas := ledger_quota_parts(account, ARRAY[account, key_id, user_id], need, tokens, instant);
    IF quotas.lacking IS NOT NULL THEN code := 13; figure := quotas.lacking; RETURN; END IF;
    barred := ledger_barred_lots(account, 1, tokens, instant, NULL);
    barred_lots := barred.lots;
    spare := spare - barred.credits;
    IF spare < need AND spare + barred.at_fault >= need THEN
      code := 13; figure := barred.lacking; RETURN;
    END IF;
  END IF;
  figure := spare;
  IF is_new AND (need = 0 OR length(key) > 0) THEN
    INSERT INTO credit_account (account_id) VALUES (account);
  END IF;
  IF spare < need THEN
    code := 1;
    IF length(key) > 0 THEN
      -- Of what was asked only what the key needs: who is refused writes no more than that.
      fact := convert_from(state_ || '\x7d'::bytea, 'UTF8')::jsonb;
      INSERT INTO events (originator_id, originator_version, topic, state, booked_at)
      VALUES (call, next_version, topics[9], convert_to('{"id":' || (fact -> 'id')::text
        || ',"effective_at":' || (fact -> 'effective_at')::text || ',"actor":'
        || (fact -> 'actor')::text || ',"account_id":"' || account || '","amount_nano_usd":'
        || need || ',"available_nano_usd":' || spare
        || ',"key_hash":"' || rtrim(encode(substr(key, 1, 32), 'base64'), '=')
        || '","digest":"' || rtrim(encode(substr(key, 33), 'base64'), '=') || '"}', 'UTF8'),
        instant);
      INSERT INTO idempotency_key (key_hash, digest, call_id, state, needed, available)
      VALUES (substr(key, 1, 32), substr(key, 33), call, 'refused', need, spare)
      ON CONFLICT (key_hash) DO UPDATE SET state = 'refused', needed = need,
        available = spare;
    END IF;
    RETURN;
  END IF;
  parts := ledger_reserve(account, need, instant, barred_lots);
  IF acct.bound THEN
    quotas := ledger_quota_parts(
      account, ARRAY[account, key_id, user_id] || parts.ids, need, tokens, instant);
    quota_ids := quotas.ids; quota_begins := quotas.begins; quota_amounts := quotas.amounts;
    quota_units := quotas.units;
    PERFORM ledger_quota_reserve(quota_ids, quota_begins, quota_amounts);
  END IF;
  INSERT INTO open_hold VALUES (call, account, next_version, need, estimated, parts.ids,
    parts.amounts, owner, instant, instant + make_interval(secs => ttl_s),
    CASE WHEN length(key) > 0 THEN substr(key, 1, 32) END,
    convert_from(substr(state_, 8, 36), 'UTF8')::uuid, quota_ids, quota_begins, quota_amounts,
    quota_units);
  INSERT INTO events (originator_id, originator_version, topic, state, booked_at)
  VALUES (call, next_version, topics[1], state_
    || convert_to(',"lots":' || lot_parts(parts.ids, parts.amounts)
    || quota_parts(quota_ids, quota_begins, quota_amounts) || '}', 'UTF8'), instant);
  IF length(key) > 0 THEN
    INSERT INTO idempotency_key (key_hash, digest, call_id, state)
    VALUES (substr(key, 1, 32), substr(key, 33), call, 'held')
    ON CONFLICT (key_hash) DO UPDATE SET state = 'held';
  END IF;
  code := 0; figure := spare - need;
END $function$;

CREATE OR REPLACE FUNCTION public.ledger_book_expiry(account uuid, instant timestamp with time zone, topic_ text)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
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
END $function$;

CREATE OR REPLACE FUNCTION public.new_event_id(instant timestamp with time zone)
 RETURNS text
 LANGUAGE sql
AS $function$
  -- RFC 9562 UUIDv7: 48 bits of milliseconds, then version, variant and random bits.
  SELECT overlay(overlay(gen_random_uuid()::text
    placing substr(lpad(to_hex((extract(epoch FROM instant) * 1000)::bigint), 12, '0'), 1, 8)
      || '-' || substr(lpad(to_hex((extract(epoch FROM instant) * 1000)::bigint), 12, '0'), 9, 4)
    from 1 for 13) placing '7' from 15 for 1)
$function$;

CREATE OR REPLACE FUNCTION public.iso_instant(instant timestamp with time zone)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
AS $function$ SELECT to_char(instant AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') $function$;

CREATE OR REPLACE FUNCTION public.ledger_quota_parts(account uuid, scopes uuid[], need bigint, tokens bigint, instant timestamp with time zone, OUT lacking bigint, OUT ids uuid[], OUT begins timestamp with time zone[], OUT amounts bigint[], OUT units smallint[])
 RETURNS record
 LANGUAGE plpgsql
 STABLE
AS $function$
BEGIN
  SELECT
    (array_agg(q.number ORDER BY q.quota_id)
      FILTER (WHERE coalesce(w.used + w.held, 0) + n.claim > q.quota_limit))[1],
    array_agg(q.quota_id ORDER BY q.quota_id), array_agg(n.begins ORDER BY q.quota_id),
    array_agg(n.claim ORDER BY q.quota_id), array_agg(q.code ORDER BY q.quota_id)
  INTO lacking, ids, begins, amounts, units
  FROM quota q
  CROSS JOIN LATERAL (
    SELECT quota_begin(q.period, q.zone, instant) AS begins,
      CASE q.code WHEN 1 THEN 1 WHEN 2 THEN tokens ELSE need END AS claim
  ) n
  LEFT JOIN quota_window w ON w.quota_id = q.quota_id AND w.begins = n.begins
  WHERE q.account_id = account AND q.scope_id = ANY (scopes) AND NOT q.removed;
END $function$;

CREATE OR REPLACE FUNCTION public.ledger_barred_lots(account uuid, requests bigint, tokens bigint, instant timestamp with time zone, reserved uuid[], OUT lots uuid[], OUT credits bigint, OUT at_fault bigint, OUT lacking bigint)
 RETURNS record
 LANGUAGE plpgsql
 STABLE
AS $function$
BEGIN
  SELECT coalesce(array_agg(b.lot_id), '{}'), coalesce(sum(b.available), 0)::bigint,
    coalesce(sum(b.available) FILTER (WHERE b.number IS NOT NULL), 0)::bigint,
    (array_agg(b.number ORDER BY b.priority, b.expires_at, b.sequence)
      FILTER (WHERE b.number IS NOT NULL))[1]
  INTO lots, credits, at_fault, lacking
  FROM (
    SELECT l.lot_id, l.available, l.priority, l.expires_at, l.sequence,
      reserved IS NULL OR l.lot_id = ANY (reserved) AS own, (
        SELECT q.number FROM quota q
        LEFT JOIN quota_window w ON w.quota_id = q.quota_id AND w.begins = 'epoch'
        WHERE q.account_id = account AND q.scope_id = l.lot_id
          AND (reserved IS NULL OR l.lot_id = ANY (reserved))
          AND coalesce(w.used + w.held, 0)
            + CASE q.unit WHEN 'requests' THEN requests ELSE tokens END > q.quota_limit
        ORDER BY q.quota_id LIMIT 1
      ) AS number
    FROM credit_lot l
    WHERE l.account_id = account AND l.bound AND l.available > 0 AND l.expires_at > instant
  ) b WHERE b.number IS NOT NULL OR NOT b.own;
END $function$;

CREATE OR REPLACE FUNCTION public.ledger_reserve(account uuid, need bigint, instant timestamp with time zone, barred uuid[], OUT ids uuid[], OUT amounts bigint[])
 RETURNS record
 LANGUAGE plpgsql
AS $function$
DECLARE lot record; part bigint; missing bigint := need;
BEGIN
  ids := '{}'; amounts := '{}';
  IF need > 0 THEN
    FOR lot IN
      SELECT lot_id, available FROM credit_lot
      WHERE account_id = account AND available > 0 AND expires_at > instant
        AND lot_id <> ALL (barred)
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
END $function$;

CREATE OR REPLACE FUNCTION public.ledger_quota_reserve(ids uuid[], windows timestamp with time zone[], amounts bigint[])
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
  INSERT INTO quota_window AS w (quota_id, begins, held)
  SELECT * FROM unnest(ids, windows, amounts)
  ON CONFLICT (quota_id, begins) DO UPDATE SET held = w.held + excluded.held;
END $function$;

CREATE OR REPLACE FUNCTION public.lot_parts(ids uuid[], amounts bigint[])
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
AS $function$
  SELECT '[' || coalesce(string_agg(
    '{"lot_id":"' || p.id || '","amount_nano_usd":' || p.amount || '}', ',' ORDER BY p.ord), '') || ']'
  FROM unnest(ids, amounts) WITH ORDINALITY AS p(id, amount, ord) WHERE p.amount > 0
$function$;

CREATE OR REPLACE FUNCTION public.quota_parts(ids uuid[], begins timestamp with time zone[], amounts bigint[])
 RETURNS text
 LANGUAGE plpgsql
 STABLE
AS $function$
BEGIN
  RETURN (
    SELECT coalesce(',"quotas":[' || string_agg('{"quota_id":"' || p.id || '","begins":"'
      || to_char(p.begins AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
      || '","held":' || p.amount || '}', ',' ORDER BY p.ord) || ']', '')
    FROM unnest(ids, begins, amounts) WITH ORDINALITY AS p(id, begins, amount, ord));
END $function$;

CREATE OR REPLACE FUNCTION public.ledger_extend(call uuid, need bigint, state_ bytea, follows uuid, instant timestamp with time zone, topics text[], tokens bigint, OUT code smallint, OUT figure bigint)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
DECLARE
  hold open_hold; acct record; parts record; quotas record; barred record;
  barred_lots uuid[] := '{}'; spare bigint; told text := '';
BEGIN
  IF EXISTS (
    SELECT FROM events WHERE originator_id = call AND topic = topics[2]
    AND substr(state, 8, 36) = substr(state_, 8, 36)
  ) THEN code := 2; RETURN; END IF;
  SELECT * INTO hold FROM open_hold WHERE call_id = call;
  IF NOT FOUND OR (
    hold.hold_id <> follows AND follows <> '00000000-0000-0000-0000-000000000000'
  ) THEN
    code := ledger_missing(call, state_, follows, topics);
    RETURN;
  END IF;
  IF need > 1000000000000000 - hold.amount THEN code := 11; RETURN; END IF;
  SELECT available, next_expiry, bound INTO acct FROM credit_account WHERE account_id = hold.account_id;
  IF acct.next_expiry <= instant THEN
    PERFORM ledger_book_expiry(hold.account_id, instant, topics[7]);
    SELECT available INTO acct.available FROM credit_account WHERE account_id = hold.account_id;
  END IF;
  spare := acct.available;
  IF acct.bound THEN
    quotas := ledger_quota_extend(hold, '{}', need, tokens);
    IF quotas.lacking IS NOT NULL THEN code := 13; figure := quotas.lacking; RETURN; END IF;
    barred := ledger_barred_lots(hold.account_id, 0, tokens, instant,
      CASE WHEN hold.quota_ids IS NULL THEN '{}' ELSE hold.lot_ids END);
    barred_lots := barred.lots;
    spare := spare - barred.credits;
    IF spare < need AND spare + barred.at_fault >= need THEN
      code := 13; figure := barred.lacking; RETURN;
    END IF;
  END IF;
  figure := spare;
  IF spare < need THEN code := 1; RETURN; END IF;
  parts := ledger_reserve(hold.account_id, need, instant, barred_lots);
  IF hold.quota_ids IS NOT NULL THEN
    quotas := ledger_quota_extend(hold, parts.ids, need, tokens);
    PERFORM ledger_quota_reserve(hold.quota_ids, hold.quota_begins, quotas.amounts);
    told := quotas.told;
    UPDATE open_hold SET quota_amounts = ARRAY(
      SELECT a.was + a.more
      FROM unnest(hold.quota_amounts, quotas.amounts) WITH ORDINALITY AS a(was, more, ord)
      ORDER BY a.ord)
    WHERE call_id = call;
  END IF;
  UPDATE open_hold SET amount = amount + need, version = version + 1,
    lot_ids = lot_ids || parts.ids, lot_amounts = lot_amounts || parts.amounts
  WHERE call_id = call;
  INSERT INTO events (originator_id, originator_version, topic, state, booked_at)
  VALUES (call, hold.version + 1, topics[2], state_
    || convert_to(',"lots":' || lot_parts(parts.ids, parts.amounts) || told || '}', 'UTF8'),
    instant);
  code := 0; figure := spare - need;
END $function$;

CREATE OR REPLACE FUNCTION public.ledger_missing(call uuid, state_ bytea, follows uuid, topics text[])
 RETURNS smallint
 LANGUAGE sql
AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION public.ledger_quota_extend(hold open_hold, lots uuid[], need bigint, tokens bigint, OUT lacking bigint, OUT amounts bigint[], OUT told text)
 RETURNS record
 LANGUAGE plpgsql
 STABLE
AS $function$
BEGIN
  SELECT
    (array_agg(c.number ORDER BY c.ord) FILTER (WHERE c.full_))[1],
    array_agg(c.claim ORDER BY c.ord),
    quota_parts(
      array_agg(c.id ORDER BY c.ord) FILTER (WHERE c.claim > 0),
      array_agg(c.begins ORDER BY c.ord) FILTER (WHERE c.claim > 0),
      array_agg(c.claim ORDER BY c.ord) FILTER (WHERE c.claim > 0))
  INTO lacking, amounts, told
  FROM (
    SELECT p.id, p.begins, p.ord, q.number, n.claim,
      q.scope_kind <> 'trial_lot' AND NOT q.removed
        AND w.used + w.held + n.claim > q.quota_limit AS full_
    FROM unnest(hold.quota_ids, hold.quota_begins) WITH ORDINALITY AS p(id, begins, ord)
    JOIN quota q ON q.quota_id = p.id
    JOIN quota_window w ON w.quota_id = p.id AND w.begins = p.begins
    CROSS JOIN LATERAL (SELECT CASE
      WHEN q.scope_kind = 'trial_lot' AND q.scope_id <> ALL (lots) THEN 0
      WHEN q.unit = 'tokens' THEN tokens WHEN q.unit = 'nano_usd' THEN need ELSE 0 END AS claim) n
  ) c;
END $function$;

CREATE OR REPLACE FUNCTION public.ledger_grant(lot uuid, account uuid, amount bigint, state_ bytea, instant timestamp with time zone, topics text[], OUT code smallint, OUT figure bigint)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
DECLARE fact jsonb; stream_version bigint; at bigint; expiry timestamptz; limited boolean := false;
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
  IF jsonb_typeof(fact -> 'limits') = 'object' THEN
    limited := ledger_lot_quotas(lot, account, fact -> 'limits');
  END IF;
  INSERT INTO credit_lot VALUES (lot, account, fact ->> 'kind', (fact ->> 'priority')::smallint,
    expiry, at, amount, 0, limited);
  IF limited THEN
    UPDATE credit_account SET bound = true WHERE account_id = account;
  END IF;
  code := 0; figure := amount;
END $function$;

CREATE OR REPLACE FUNCTION public.ledger_lot_quotas(lot uuid, account uuid, limits jsonb)
 RETURNS boolean
 LANGUAGE sql
AS $function$
  -- The limits on a grant are quotas of its lot; whether there are any.
  WITH made AS (
    INSERT INTO quota (quota_id, account_id, scope_kind, scope_id, unit, period, quota_limit)
    SELECT lot_quota_id(lot, u.unit), account, 'trial_lot', lot, u.unit, 'total',
      (limits ->> u.unit)::bigint
    FROM unnest(ARRAY['requests', 'tokens']) AS u(unit) WHERE limits ->> u.unit IS NOT NULL
    ORDER BY u.unit
    RETURNING 1
  )
  SELECT count(*) > 0 FROM made
$function$;

CREATE OR REPLACE FUNCTION public.lot_quota_id(lot uuid, unit text)
 RETURNS uuid
 LANGUAGE sql
 IMMUTABLE
AS $function$
  -- RFC 9562 UUIDv3: 122 bits of the MD5 of space and name, with version and variant.
  SELECT overlay(overlay(md5(uuid_send(lot) || convert_to(unit, 'UTF8')) placing '3' from 13)
    placing substr('89ab', 1 + get_byte(decode(md5(uuid_send(lot) || convert_to(unit, 'UTF8')),
      'hex'), 8) / 16 % 4, 1) from 17)::uuid
$function$;

CREATE OR REPLACE FUNCTION public.ledger_resolve(kind smallint, call uuid, cost bigint, state_ bytea, reply bytea, follows uuid, instant timestamp with time zone, topics text[], owner uuid, tokens bigint, OUT code smallint, OUT figure bigint)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
DECLARE
  hold open_hold; lot record; taken bigint; rest bigint; missing bigint;
  released bigint := 0; broken bigint := 0; loss bigint := 0; expiry timestamptz; due timestamptz;
  used bigint[] := '{}'; given bigint[] := '{}'; lost bigint[] := '{}';
  more uuid[] := '{}'; more_amounts bigint[] := '{}'; beyond bigint := 0; spendable bigint;
  told text := '';
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
        AND NOT (bound AND (hold.quota_ids IS NULL OR lot_id <> ALL (hold.lot_ids)))
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
  IF hold.quota_ids IS NOT NULL THEN
    told := ledger_quota_resolve(
      hold, kind = 3, tokens, hold.amount - released - broken + beyond);
  END IF;
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
    || told || '}', 'UTF8'), instant);
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
    -- Nothing is left then that may pay for it, and the figure says what nobody paid.
    figure := -loss;
    INSERT INTO house_loss_of_day AS known (day, account_id, nano_usd)
    VALUES ((instant AT TIME ZONE 'UTC')::date, hold.account_id, loss)
    ON CONFLICT (day, account_id) DO UPDATE
      SET nano_usd = least(known.nano_usd::numeric + loss, 9223372036854775807);
  END IF;
END $function$;

CREATE OR REPLACE FUNCTION public.ledger_book_late(call uuid, cost bigint, state_ bytea, follows uuid, instant timestamp with time zone, topics text[])
 RETURNS void
 LANGUAGE plpgsql
AS $function$
DECLARE placed bigint; ended bigint; booked numeric; next_version bigint;
BEGIN
  IF EXISTS (
    SELECT FROM events WHERE originator_id = call AND substr(state, 8, 36) = substr(state_, 8, 36)
  ) THEN RETURN; END IF;
  -- Of the hold that the outcome is of: of the last one, where it does not say.
  SELECT originator_version INTO placed FROM events
  WHERE originator_id = call AND topic = topics[1] AND substr(state, 8, 36)
    = convert_to(follows::text, 'UTF8');
  SELECT CASE WHEN placed IS NULL THEN max(originator_version) ELSE min(originator_version) END
  INTO ended FROM events
  WHERE originator_id = call AND topic IN (topics[3], topics[4], topics[5])
    AND originator_version > coalesce(placed, 0);
  -- What its end and earlier late outcomes already booked is not booked again.
  SELECT sum((e.fact ->> 'house_loss_nano_usd')::bigint) INTO booked
  FROM (
    SELECT originator_version AS version, topic, convert_from(state, 'UTF8')::jsonb AS fact
    FROM events WHERE originator_id = call AND originator_version >= ended
  ) e
  WHERE e.version = ended
    OR e.topic = topics[8] AND (placed IS NULL OR e.fact ->> 'causation_id' = follows::text);
  SELECT max(originator_version) + 1 INTO next_version FROM events WHERE originator_id = call;
  INSERT INTO events (originator_id, originator_version, topic, state, booked_at)
  VALUES (call, next_version, topics[8], state_
    || convert_to(',"house_loss_nano_usd":' || cost - coalesce(booked, 0) || '}', 'UTF8'), instant);
  UPDATE open_hold SET version = next_version WHERE call_id = call;
END $function$;

CREATE OR REPLACE FUNCTION public.ledger_quota_resolve(hold open_hold, settles boolean, tokens bigint, settled bigint)
 RETURNS text
 LANGUAGE plpgsql
AS $function$
DECLARE told text;
BEGIN
  WITH part AS (
    SELECT p.id, p.begins, p.held, p.ord, q.quota_limit, CASE
      WHEN NOT settles THEN 0 WHEN q.unit = 'requests' THEN 1 WHEN q.unit = 'nano_usd' THEN settled
      WHEN q.scope_kind = 'trial_lot' AND NOT hold.lot_ids <@ ARRAY[q.scope_id]
        THEN least(tokens, p.held)
      ELSE tokens END AS used
    FROM unnest(hold.quota_ids, hold.quota_begins, hold.quota_amounts)
      WITH ORDINALITY AS p(id, begins, held, ord)
    JOIN quota q ON q.quota_id = p.id
  ), moved AS (
    UPDATE quota_window w SET held = w.held - p.held,
      used = least(w.used + p.used, 4000000000000000000)
    FROM part p WHERE w.quota_id = p.id AND w.begins = p.begins
    RETURNING p.id, p.begins, p.held, p.ord, p.used,
      greatest(0, least(p.used - p.held, w.used + w.held - p.quota_limit)) AS overrun
  )
  SELECT coalesce(',"quotas":[' || string_agg('{"quota_id":"' || m.id || '","begins":"'
    || to_char(m.begins AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
    || '","held":' || m.held || ',"used":' || m.used - m.overrun
    || ',"overrun":' || m.overrun || '}', ',' ORDER BY m.ord) || ']', '')
  INTO told FROM moved m;
  RETURN told;
END $function$;

CREATE OR REPLACE FUNCTION public.refuse_change_of_events()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
  RAISE EXCEPTION 'events are never changed or deleted: append a correcting event'
    USING ERRCODE = 'insufficient_privilege';
END $function$;

CREATE OR REPLACE FUNCTION public.take_append_lock()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
  PERFORM pg_advisory_xact_lock(4716259);
  RETURN NULL;
END $function$;
