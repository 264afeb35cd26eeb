-- The append as it runs: the function `ledger_append`, whatever it calls, in the order in which it
-- is called, and the triggers of the log. Made by `make functions` from a freshly migrated
-- database, as pg_get_functiondef gives it; a test compares. To read, not to run or edit: what
-- counts is the migrations.

CREATE OR REPLACE FUNCTION public.ledger_append(kinds smallint[], streams uuid[], ix integer[], accounts uuid[], amounts bigint[], aux bigint[], states bytea[], keys bytea[], follows uuid[], topics text[], owner uuid, ttl_s integer, tokens bigint[], slots integer[], scopes bytea[], OUT codes smallint[], OUT figures bigint[])
 RETURNS record
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
DECLARE
  size int := cardinality(kinds); instant timestamptz; special boolean[]; in_sets record;
  in_order record;
BEGIN
  PERFORM pg_advisory_xact_lock(4716259);
  instant := booking_time();
  codes := array_fill(0::smallint, ARRAY[size]);
  figures := array_fill(0::bigint, ARRAY[size]);
  special := array_fill(true, ARRAY[cardinality(accounts)]);
  IF size > 2 THEN
    in_sets := ledger_append_in_sets(kinds, streams, ix, accounts, amounts, aux, states, keys,
      follows, topics, owner, ttl_s, tokens, slots, scopes, instant);
    special := in_sets.special; figures := in_sets.figures;
  END IF;
  IF true = ANY (special) THEN
    in_order := ledger_append_in_order(kinds, streams, ix, accounts, amounts, aux, states, keys,
      follows, special, instant, topics, owner, ttl_s, tokens, slots, scopes, codes, figures);
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

CREATE OR REPLACE FUNCTION public.ledger_append_in_sets(kinds smallint[], streams uuid[], ix integer[], accounts uuid[], amounts bigint[], aux bigint[], states bytea[], keys bytea[], follows uuid[], topics text[], owner uuid, ttl_s integer, tokens bigint[], slots integer[], scopes bytea[], instant timestamp with time zone, OUT special boolean[], OUT figures bigint[])
 RETURNS record
 LANGUAGE plpgsql
 SET enable_bitmapscan TO 'off'
AS $function$
DECLARE
  size int := cardinality(kinds); heads uuid[]; ends timestamptz[]; wide int[];
  left_over bigint[]; left_bound bigint[]; is_bound boolean; found_ record; counted record;
  lots uuid[]; homes bigint[]; home_tolds text[]; abroad boolean[]; chosen boolean[];
  skipped boolean[]; cells bigint[]; tolds text[];
BEGIN
  figures := array_fill(0::bigint, ARRAY[size]);
  -- An account is special when any of its entries needs the exact path.
  SELECT array_agg(DISTINCT e.ix) INTO wide
  FROM unnest(kinds, ix, amounts, aux, streams, keys, follows, tokens)
    AS e(kind, ix, amount, estimated, stream, key, follows, tokens)
  LEFT JOIN open_hold h ON h.call_id = e.stream AND e.kind IN (3, 4)
  LEFT JOIN credit_lot l
    ON l.lot_id = CASE WHEN h.lot_until IS NULL THEN h.lot_ids[1] END
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
      OR h.account_id <> accounts[e.ix]
      OR coalesce(h.lot_until, l.expires_at) <= instant
      OR (e.kind = 3 AND (e.amount > h.amount OR e.tokens > h.quota_tokens))
      OR h.quota_ids IS NOT NULL));
  -- Whether there are quotas is most often as it was in the batch before.
  is_bound := current_setting('gatewayz.bound', true) = 'on';
  IF is_bound IS NOT TRUE THEN
    SELECT array_agg(n.ix = ANY (wide) IS TRUE OR a.account_id IS NULL
        OR a.next_expiry <= instant OR a.owed > 0
        OR coalesce(head.available, 0) < n.need ORDER BY n.ix),
      array_agg(head.lot_id ORDER BY n.ix), array_agg(head.expires_at ORDER BY n.ix),
      bool_or(a.bound)
    INTO special, heads, ends, is_bound
    FROM (
      SELECT e.ix, bigint_sum(e.amount)
      FILTER (WHERE e.kind = 1 AND e.amount BETWEEN 0 AND 1000000000000000) AS need
      FROM unnest(ix, amounts, kinds) AS e(ix, amount, kind) GROUP BY e.ix
    ) n
    LEFT JOIN credit_account a ON a.account_id = accounts[n.ix]
    LEFT JOIN LATERAL (
      SELECT l.lot_id, l.available, l.expires_at FROM credit_lot l
      WHERE l.account_id = a.account_id AND l.available > 0
      ORDER BY l.priority, l.expires_at, l.sequence LIMIT 1
    ) head ON true;
    IF is_bound THEN PERFORM set_config('gatewayz.bound', 'on', false); END IF;
  END IF;
  IF is_bound THEN
    found_ := ledger_quota_accounts(
      kinds, ix, accounts, amounts, tokens, slots, scopes, wide, instant);
    special := found_.special; heads := found_.heads; ends := found_.ends;
    lots := found_.lots; homes := found_.homes; home_tolds := found_.tolds; abroad := found_.abroad;
    IF array_position(lots, NULL) IS NULL AND NOT true = ANY (special) THEN
      chosen := array_fill(true, ARRAY[cardinality(accounts)]);
      skipped := chosen;
    ELSIF cardinality(array_remove(lots, NULL)) = 0 THEN
      is_bound := false;
      PERFORM set_config('gatewayz.bound', 'off', false);
    ELSE
      SELECT array_agg(u.lot IS NOT NULL AND NOT u.is_special ORDER BY u.ord),
        array_agg(u.lot IS NOT NULL OR u.is_special ORDER BY u.ord) INTO chosen, skipped
      FROM unnest(lots, special) WITH ORDINALITY AS u(lot, is_special, ord);
    END IF;
  END IF;
  BEGIN
    IF is_bound IS NOT TRUE THEN
      left_over := ledger_append_simple(kinds, streams, ix, accounts, amounts, aux, states, keys,
        heads, ends, special, instant, topics, owner, ttl_s);
      IF cardinality(accounts) = 1 THEN
        figures := array_fill(left_over[1], ARRAY[size]);
      ELSE
        SELECT array_agg(left_over[e]) INTO figures FROM unnest(ix) AS e;
      END IF;
    ELSE
      IF true = ANY (abroad) AND true = ANY (chosen) THEN
        SELECT array_agg(u.is_abroad AND u.is_chosen ORDER BY u.ord) INTO abroad
        FROM unnest(abroad, chosen) WITH ORDINALITY AS u(is_abroad, is_chosen, ord);
        counted := ledger_quota_count_all(
          kinds, ix, accounts, amounts, tokens, slots, scopes, lots, abroad, instant);
        cells := counted.cells; tolds := counted.tolds;
        FOR i IN 1 .. cardinality(abroad) LOOP
          IF abroad[i] THEN homes[i] := NULL; home_tolds[i] := NULL; END IF;
        END LOOP;
        FOR i IN 1 .. coalesce(cardinality(counted.lacking), 0) LOOP
          chosen[counted.lacking[i]] := false;
          special[counted.lacking[i]] := true;
        END LOOP;
      END IF;
      IF true = ANY (chosen) THEN
        left_bound := ledger_append_bound(kinds, streams, ix, accounts, amounts, aux, states,
          keys, heads, ends, chosen, instant, topics, owner, ttl_s, tokens, slots, homes, home_tolds,
          cells, tolds);
      END IF;
      IF false = ANY (skipped) THEN
        left_over := ledger_append_simple(kinds, streams, ix, accounts, amounts, aux, states,
          keys, heads, ends, skipped, instant, topics, owner, ttl_s);
      END IF;
      IF cardinality(accounts) = 1 THEN
        figures := array_fill(
          coalesce(CASE WHEN chosen[1] THEN left_bound[1] ELSE left_over[1] END, 0), ARRAY[size]);
      ELSE
        SELECT array_agg(coalesce(CASE WHEN chosen[e] THEN left_bound[e] ELSE left_over[e] END, 0))
        INTO figures FROM unnest(ix) AS e;
      END IF;
    END IF;
  EXCEPTION WHEN unique_violation THEN
    special := array_fill(true, ARRAY[cardinality(accounts)]);
  END;
END $function$;

CREATE OR REPLACE FUNCTION public.ledger_quota_accounts(kinds smallint[], ix integer[], accounts uuid[], amounts bigint[], tokens bigint[], slots integer[], scopes bytea[], wide integer[], instant timestamp with time zone, OUT special boolean[], OUT heads uuid[], OUT ends timestamp with time zone[], OUT lots uuid[], OUT homes bigint[], OUT tolds text[], OUT abroad boolean[])
 RETURNS record
 LANGUAGE plpgsql
AS $function$
BEGIN
  SELECT array_agg(n.ix = ANY (wide) IS TRUE OR a.account_id IS NULL
      OR a.next_expiry <= instant OR a.owed > 0 OR coalesce(head.available, 0) < n.need
      -- What can be spent is known at once only where no other lot has quotas of its own.
      OR CASE WHEN a.limited THEN EXISTS (SELECT FROM credit_lot o WHERE o.account_id = a.account_id
        AND o.bound AND o.available > 0 AND o.lot_id <> head.lot_id) ELSE false END ORDER BY n.ix),
    array_agg(head.lot_id ORDER BY n.ix), array_agg(head.expires_at ORDER BY n.ix),
    array_agg(CASE WHEN a.bound THEN head.bound_id END ORDER BY n.ix),
    array_agg(a.home_id ORDER BY n.ix), array_agg(a.home_told ORDER BY n.ix),
    array_agg(n.holds > 0 AND a.bound AND (n.slot * n.holds = n.slots
      AND scopes[n.slot] = a.home_scopes AND a.home_until > instant AND a.home_lot = head.bound_id
      AND a.held_requests + a.used_requests + n.holds <= a.lent_requests
      AND a.held_tokens + a.used_tokens + n.tokens <= a.lent_tokens
      AND a.held_nano_usd + a.used_nano_usd + n.need <= a.lent_nano_usd) IS NOT TRUE
      ORDER BY n.ix)
  INTO special, heads, ends, lots, homes, tolds, abroad
  FROM (
    SELECT e.ix, bigint_sum(e.amount)
        FILTER (WHERE e.kind = 1 AND e.amount BETWEEN 0 AND 1000000000000000) AS need,
      count(*) FILTER (WHERE e.kind = 1) AS holds, max(e.slot) AS slot, bigint_sum(e.slot) AS slots,
      bigint_sum(e.tokens)
        FILTER (WHERE e.kind = 1 AND e.tokens BETWEEN 0 AND 1000000000000) AS tokens
    FROM unnest(ix, amounts, kinds, slots, tokens) AS e(ix, amount, kind, slot, tokens)
    GROUP BY e.ix
  ) n
  LEFT JOIN credit_account a ON a.account_id = accounts[n.ix]
  LEFT JOIN LATERAL (
    SELECT l.lot_id, l.available, l.expires_at, CASE WHEN l.bound THEN l.lot_id
      ELSE '00000000-0000-0000-0000-000000000000' END AS bound_id
    FROM credit_lot l
    WHERE l.account_id = a.account_id AND l.available > 0
    ORDER BY l.priority, l.expires_at, l.sequence LIMIT 1
  ) head ON true;
END $function$;

CREATE OR REPLACE FUNCTION public.ledger_append_simple(kinds smallint[], streams uuid[], ix integer[], accounts uuid[], amounts bigint[], aux bigint[], states bytea[], keys bytea[], heads uuid[], ends timestamp with time zone[], skipped boolean[], instant timestamp with time zone, topics text[], owner uuid, ttl_s integer)
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
    INSERT INTO open_hold (call_id, account_id, version, amount, estimated_cost, lot_ids,
      lot_amounts, owner_id, placed_at, expires_at, key_hash, hold_id, lot_until)
    SELECT e.stream, accounts[e.ix], 1, e.amount, e.aux, ARRAY[heads[e.ix]], ARRAY[e.amount],
      owner, instant, instant + make_interval(secs => ttl_s),
      CASE WHEN length(e.key) > 0 THEN substr(e.key, 1, 32) END,
      convert_from(substr(e.state, 8, 36), 'UTF8')::uuid, ends[e.ix]
    FROM entry e WHERE e.kind = 1
  ), moved AS (
    SELECT m.ix, m.lot, bigint_sum(m.available) AS available, bigint_sum(m.held) AS held,
      bigint_sum(m.settled) AS settled
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
    FROM (SELECT m.ix, bigint_sum(m.available) AS available, bigint_sum(m.held) AS held,
      bigint_sum(m.settled) AS settled FROM moved m GROUP BY m.ix) m
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

CREATE OR REPLACE FUNCTION public.ledger_quota_count_all(kinds smallint[], ix integer[], accounts uuid[], amounts bigint[], tokens bigint[], slots integer[], scopes_ bytea[], lots uuid[], chosen boolean[], instant timestamp with time zone, OUT cells bigint[], OUT tolds text[], OUT lacking integer[])
 RETURNS record
 LANGUAGE plpgsql
AS $function$
DECLARE
  found int[]; of_ int[]; taken_cells bigint[]; taken_tolds text[]; requests bigint[];
  tokens_ bigint[]; moneys bigint[];
BEGIN
  PERFORM ledger_quota_leave(ARRAY(
    SELECT u.account FROM unnest(accounts, chosen) AS u(account, is_chosen) WHERE u.is_chosen));
  WITH taken AS (
    UPDATE quota_cell c SET holds = c.holds + a.requests,
      left_requests = c.left_requests - a.requests, left_tokens = c.left_tokens - a.tokens,
      left_nano_usd = c.left_nano_usd - a.amount, held_requests = c.held_requests + a.requests,
      held_tokens = c.held_tokens + a.tokens, held_nano_usd = c.held_nano_usd + a.amount
    FROM (
      SELECT e.slot, e.ix, count(*) AS requests, bigint_sum(e.tokens) AS tokens,
        bigint_sum(e.amount) AS amount
      FROM unnest(kinds, ix, amounts, tokens, slots) AS e(kind, ix, amount, tokens, slot)
      WHERE e.kind = 1 AND chosen[e.ix] GROUP BY e.slot, e.ix
    ) a
    WHERE c.account_id = accounts[a.ix] AND c.scopes = scopes_[a.slot] AND c.live
      AND c.lot_id = lots[a.ix] AND c.until > instant AND c.left_requests >= a.requests
      AND c.left_tokens >= a.tokens AND c.left_nano_usd >= a.amount
    RETURNING a.slot, a.ix, a.requests, a.tokens, a.amount, c.cell_id, c.told
  )
  SELECT array_agg(t.slot), array_agg(t.ix), array_agg(t.cell_id), array_agg(t.told),
    array_agg(t.requests), array_agg(t.tokens), array_agg(t.amount)
  INTO found, of_, taken_cells, taken_tolds, requests, tokens_, moneys FROM taken t;
  FOR i IN 1 .. coalesce(cardinality(found), 0) LOOP
    cells[found[i]] := taken_cells[i];
    tolds[found[i]] := taken_tolds[i];
  END LOOP;
  SELECT array_agg(DISTINCT e.ix) INTO lacking FROM unnest(kinds, ix, slots) AS e(kind, ix, slot)
  WHERE e.kind = 1 AND chosen[e.ix] AND cells[e.slot] IS NULL;
  IF lacking IS NOT NULL THEN
    UPDATE quota_cell c SET holds = c.holds - b.requests,
      left_requests = c.left_requests + b.requests, left_tokens = c.left_tokens + b.tokens,
      left_nano_usd = c.left_nano_usd + b.amount, held_requests = c.held_requests - b.requests,
      held_tokens = c.held_tokens - b.tokens, held_nano_usd = c.held_nano_usd - b.amount
    FROM unnest(of_, taken_cells, requests, tokens_, moneys)
      AS b(ix, cell_id, requests, tokens, amount)
    WHERE b.ix = ANY (lacking) AND c.cell_id = b.cell_id;
  END IF;
END $function$;

CREATE OR REPLACE FUNCTION public.ledger_quota_leave(accounts uuid[])
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
  UPDATE quota_cell c SET holds = c.holds + a.held_requests,
    left_requests = c.left_requests + a.lent_requests - a.held_requests - a.used_requests,
    left_tokens = least(
      c.left_tokens + a.lent_tokens - a.held_tokens - a.used_tokens, 4000000000000000000),
    left_nano_usd = least(
      c.left_nano_usd + a.lent_nano_usd - a.held_nano_usd - a.used_nano_usd, 4000000000000000000),
    held_requests = c.held_requests + a.held_requests, held_tokens = c.held_tokens + a.held_tokens,
    held_nano_usd = c.held_nano_usd + a.held_nano_usd,
    used_requests = c.used_requests + a.used_requests,
    used_tokens = least(c.used_tokens + a.used_tokens, 4000000000000000000),
    used_nano_usd = c.used_nano_usd + a.used_nano_usd
  FROM credit_account a WHERE a.account_id = ANY (accounts) AND c.cell_id = a.home_id;
  UPDATE credit_account SET home_id = NULL, home_lot = NULL, home_until = NULL,
    lent_requests = NULL, lent_tokens = NULL, lent_nano_usd = NULL, held_requests = NULL,
    held_tokens = NULL, held_nano_usd = NULL, used_requests = NULL, used_tokens = NULL,
    used_nano_usd = NULL, home_scopes = NULL, home_told = NULL
  WHERE account_id = ANY (accounts) AND home_id IS NOT NULL;
END $function$;

CREATE OR REPLACE FUNCTION public.ledger_append_bound(kinds smallint[], streams uuid[], ix integer[], accounts uuid[], amounts bigint[], aux bigint[], states bytea[], keys bytea[], heads uuid[], ends timestamp with time zone[], chosen boolean[], instant timestamp with time zone, topics text[], owner uuid, ttl_s integer, tokens bigint[], slots integer[], homes bigint[], home_tolds text[], cells bigint[], tolds text[])
 RETURNS bigint[]
 LANGUAGE plpgsql
AS $function$
DECLARE
  numbers int[]; sums bigint[];
  left_over bigint[] := array_fill(0::bigint, ARRAY[cardinality(accounts)]);
BEGIN
  WITH entry AS MATERIALIZED (
    SELECT e.kind, e.stream, e.ix, e.amount, e.aux, e.state, e.key, e.tokens, e.slot, e.ord
    FROM unnest(kinds, streams, ix, amounts, aux, states, keys, tokens, slots)
      WITH ORDINALITY AS e(kind, stream, ix, amount, aux, state, key, tokens, slot, ord)
    WHERE chosen[e.ix]
  ), gone AS (
    DELETE FROM open_hold h USING entry e
    WHERE e.kind IN (3, 4) AND h.call_id = e.stream
    RETURNING e.ord, e.kind, e.stream, e.state, e.ix, h.lot_ids[1] AS lot, h.amount AS held,
      CASE WHEN e.kind = 3 THEN e.amount ELSE 0 END AS cost, h.version, h.key_hash, e.key,
      CASE WHEN e.kind = 3 THEN e.tokens ELSE 0 END AS tokens, h.cell_id, h.quota_tokens,
      (h.cell_id = homes[e.ix]) IS TRUE AS home
  ), counted AS (
    UPDATE quota_cell c SET holds = c.holds - g.holds,
      left_requests = c.left_requests + g.holds - g.calls,
      left_tokens = least(c.left_tokens + g.held - g.tokens, 4000000000000000000),
      left_nano_usd = least(c.left_nano_usd + g.amount - g.cost, 4000000000000000000),
      held_requests = c.held_requests - g.holds, held_tokens = c.held_tokens - g.held,
      held_nano_usd = c.held_nano_usd - g.amount, used_requests = c.used_requests + g.calls,
      used_tokens = least(c.used_tokens + g.tokens, 4000000000000000000),
      used_nano_usd = c.used_nano_usd + g.cost
    FROM (
      SELECT g.cell_id, count(*) AS holds, count(*) FILTER (WHERE g.kind = 3) AS calls,
        bigint_sum(g.quota_tokens) AS held, bigint_sum(g.tokens) AS tokens,
        bigint_sum(g.held) AS amount, bigint_sum(g.cost) AS cost
      FROM gone g WHERE g.cell_id IS NOT NULL AND NOT g.home GROUP BY g.cell_id
    ) g WHERE c.cell_id = g.cell_id
  ), came AS (
    INSERT INTO open_hold (call_id, account_id, version, amount, estimated_cost, lot_ids,
      lot_amounts, owner_id, placed_at, expires_at, key_hash, hold_id, cell_id, quota_tokens, lot_until)
    SELECT e.stream, accounts[e.ix], 1, e.amount, e.aux, ARRAY[heads[e.ix]], ARRAY[e.amount],
      owner, instant, instant + make_interval(secs => ttl_s),
      CASE WHEN length(e.key) > 0 THEN substr(e.key, 1, 32) END,
      convert_from(substr(e.state, 8, 36), 'UTF8')::uuid, coalesce(homes[e.ix], cells[e.slot]),
      e.tokens, ends[e.ix]
    FROM entry e WHERE e.kind = 1
  ), moved AS (
    SELECT m.ix, m.lot, bigint_sum(m.available) AS available, bigint_sum(m.held) AS held,
      bigint_sum(m.settled) AS settled, bigint_sum(m.requests) AS requests,
      bigint_sum(m.tokens) AS tokens, bigint_sum(m.amount) AS amount, bigint_sum(m.calls) AS calls,
      bigint_sum(m.used) AS used, bigint_sum(m.cost) AS cost
    FROM (
      SELECT e.ix, heads[e.ix] AS lot, -e.amount AS available, e.amount AS held, 0 AS settled,
        1 AS requests, e.tokens, e.amount, 0 AS calls, 0::bigint AS used, 0::bigint AS cost
      FROM entry e WHERE e.kind = 1
      UNION ALL
      SELECT g.ix, g.lot, g.held - g.cost, -g.held, g.cost, CASE WHEN g.home THEN -1 ELSE 0 END,
        CASE WHEN g.home THEN -g.quota_tokens ELSE 0 END, CASE WHEN g.home THEN -g.held ELSE 0 END,
        CASE WHEN g.home AND g.kind = 3 THEN 1 ELSE 0 END, CASE WHEN g.home THEN g.tokens ELSE 0 END,
        CASE WHEN g.home THEN g.cost ELSE 0 END
      FROM gone g
    ) m GROUP BY m.ix, m.lot
  ), lots AS (
    UPDATE credit_lot l SET available = l.available + m.available, held = l.held + m.held
    FROM moved m WHERE l.lot_id = m.lot
  ), changed AS (
    UPDATE credit_account a SET available = a.available + m.available, held = a.held + m.held,
      settled = a.settled + m.settled, held_requests = a.held_requests + m.requests,
      held_tokens = a.held_tokens + m.tokens, held_nano_usd = a.held_nano_usd + m.amount,
      used_requests = a.used_requests + m.calls, used_nano_usd = a.used_nano_usd + m.cost,
      used_tokens = least(a.used_tokens + m.used, 4000000000000000000)
    FROM (SELECT m.ix, bigint_sum(m.available) AS available, bigint_sum(m.held) AS held,
      bigint_sum(m.settled) AS settled, bigint_sum(m.requests) AS requests,
      bigint_sum(m.tokens) AS tokens, bigint_sum(m.amount) AS amount,
      bigint_sum(m.calls) AS calls, bigint_sum(m.used) AS used, bigint_sum(m.cost) AS cost
      FROM moved m GROUP BY m.ix) m
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
        || CASE WHEN coalesce(home_tolds[e.ix], tolds[e.slot]) <> ''
          THEN coalesce(home_tolds[e.ix], tolds[e.slot]) || e.tokens ELSE '' END || '}', 'UTF8')
        AS state
      FROM entry e WHERE e.kind = 1
      UNION ALL
      SELECT g.ord, g.stream, g.version + 1, topics[g.kind], g.state || convert_to(
        ',"held_nano_usd":' || g.held || ',"settled_nano_usd":' || g.cost
        || ',"released_nano_usd":' || g.held - g.cost
        || ',"breakage_nano_usd":0,"house_loss_nano_usd":0,"lots":['
        || CASE WHEN g.cost > 0 THEN '{"lot_id":"' || g.lot || '","amount_nano_usd":' || g.cost || '}'
           ELSE '' END || CASE WHEN g.held > g.cost THEN '],"released_lots":[{"lot_id":"' || g.lot
        || '","amount_nano_usd":' || g.held - g.cost || '}]' ELSE ']' END
        || '}', 'UTF8')
      FROM gone g
    ) f ORDER BY f.ord
  )
  SELECT array_agg(c.ix), array_agg(c.available) INTO numbers, sums FROM changed c;
  FOR i IN 1 .. coalesce(cardinality(numbers), 0) LOOP
    left_over[numbers[i]] := sums[i];
  END LOOP;
  RETURN left_over;
END $function$;

CREATE OR REPLACE FUNCTION public.ledger_append_in_order(kinds smallint[], streams uuid[], ix integer[], accounts uuid[], amounts bigint[], aux bigint[], states bytea[], keys bytea[], follows uuid[], chosen boolean[], instant timestamp with time zone, topics text[], owner uuid, ttl_s integer, tokens bigint[], slots integer[], scopes bytea[], INOUT codes smallint[], INOUT figures bigint[])
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

CREATE OR REPLACE FUNCTION public.ledger_hold(call uuid, account uuid, need bigint, estimated bigint, state_ bytea, key bytea, follows uuid, instant timestamp with time zone, owner uuid, ttl_s integer, topics text[], tokens bigint, slot bytea, OUT code smallint, OUT figure bigint)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
DECLARE
  last record; ended record; known record; acct record; parts record; next_version bigint := 1;
  is_new boolean := false; fact jsonb; quotas record; barred record; barred_lots uuid[] := '{}';
  spare bigint; counted record; cell bigint; own bigint; lot uuid; told text := '';
  quota_ids uuid[]; quota_begins timestamptz[]; quota_amounts bigint[]; quota_units smallint[];
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
  SELECT available, next_expiry, bound, owed INTO acct FROM credit_account
  WHERE account_id = account;
  IF NOT FOUND THEN
    acct.available := 0; acct.owed := 0;
    is_new := true;
  ELSIF acct.next_expiry <= instant THEN
    PERFORM ledger_book_expiry(account, instant, topics[7]);
    SELECT available INTO acct.available FROM credit_account WHERE account_id = account;
  END IF;
  -- Who owes has nothing to spend; who owes much makes no call, not even one that costs nothing.
  spare := CASE WHEN acct.owed > 1000000000 THEN -1 ELSE acct.available END;
  IF acct.bound AND spare >= need THEN
    counted := ledger_quota_count(account, slot, need, tokens, instant);
    cell := counted.cell; told := coalesce(counted.told_, '');
  END IF;
  IF acct.bound AND cell IS NULL THEN
    own := ledger_quota_even(account, slot, instant);
    quotas := ledger_quota_parts(account, quota_scopes(account, slot), need, tokens, instant, own);
    IF quotas.lacking IS NOT NULL AND quotas.lent THEN
      -- What others were lent is taken back, and looked at again.
      PERFORM ledger_quota_close(account);
      own := NULL;
      quotas := ledger_quota_parts(
        account, quota_scopes(account, slot), need, tokens, instant, NULL);
    END IF;
    IF quotas.lacking IS NOT NULL THEN
      PERFORM ledger_quota_come(account);
      code := 13; figure := quotas.lacking; RETURN;
    END IF;
    barred := ledger_barred_lots(account, 1, tokens, instant, NULL);
    barred_lots := barred.lots;
    spare := spare - barred.credits;
    IF spare < need AND spare + barred.at_fault >= need THEN
      code := 13; figure := barred.lacking; RETURN;
    END IF;
  END IF;
  figure := CASE WHEN acct.owed > 0 THEN -acct.owed ELSE spare END;
  spare := greatest(spare, 0);
  -- Whoever asks again once others give back leaves no trace, and its key is nobody's yet.
  IF (spare < need OR acct.owed > 1000000000) AND length(key) > 0 AND convert_from(
      state_ || '\x7d'::bytea, 'UTF8')::jsonb #>> '{idempotency,refusal}' = 'open' THEN
    code := 1; RETURN;
  END IF;
  IF is_new AND (need = 0 OR length(key) > 0) THEN
    INSERT INTO credit_account (account_id) VALUES (account);
  END IF;
  IF spare < need OR acct.owed > 1000000000 THEN
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
  IF acct.bound AND cell IS NULL THEN
    SELECT l.lot_id INTO lot FROM credit_lot l WHERE l.lot_id = ANY (parts.ids) AND l.bound LIMIT 1;
    IF FOUND THEN
      quotas := ledger_quota_parts(
        account, quota_scopes(account, slot) || parts.ids, need, tokens, instant, own);
    END IF;
    PERFORM ledger_quota_reserve(quotas.ids, quotas.begins, quotas.amounts);
    told := quota_told(quotas.ids, quotas.begins);
    told := CASE WHEN told <> '' THEN told || tokens ELSE '' END;
    IF lot IS NULL OR cardinality(parts.ids) = 1 THEN
      cell := ledger_quota_open(account, slot, coalesce(lot, '00000000-0000-0000-0000-000000000000'),
        own, quotas.ids, quotas.begins, quotas.units, quotas.until, quotas.rooms);
    ELSIF own IS NOT NULL THEN
      -- Its room was not looked at, so it lends none.
      UPDATE quota_cell SET live = false WHERE cell_id = own;
    END IF;
    IF cell IS NULL THEN
      quota_ids := quotas.ids; quota_begins := quotas.begins; quota_amounts := quotas.amounts;
      quota_units := quotas.units;
    END IF;
  END IF;
  INSERT INTO open_hold VALUES (call, account, next_version, need, estimated, parts.ids,
    parts.amounts, owner, instant, instant + make_interval(secs => ttl_s),
    CASE WHEN length(key) > 0 THEN substr(key, 1, 32) END,
    convert_from(substr(state_, 8, 36), 'UTF8')::uuid, quota_ids, quota_begins, quota_amounts,
    quota_units, cell, CASE WHEN cell IS NOT NULL THEN tokens END);
  INSERT INTO events (originator_id, originator_version, topic, state, booked_at)
  VALUES (call, next_version, topics[1], state_
    || convert_to(',"lots":' || lot_parts(parts.ids, parts.amounts) || told || '}', 'UTF8'),
    instant);
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

CREATE OR REPLACE FUNCTION public.ledger_quota_count(account uuid, slot bytea, need bigint, tokens_ bigint, instant timestamp with time zone, OUT cell bigint, OUT told_ text)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
DECLARE head record; lot uuid := '00000000-0000-0000-0000-000000000000';
BEGIN
  SELECT l.lot_id, l.available, l.bound, EXISTS (
    SELECT FROM credit_lot o WHERE o.account_id = account AND o.bound AND o.available > 0
      AND o.expires_at > instant AND o.lot_id <> l.lot_id) AS others
  INTO head FROM credit_lot l
  WHERE l.account_id = account AND l.available > 0 AND l.expires_at > instant
  ORDER BY l.priority, l.expires_at, l.sequence LIMIT 1;
  IF head.others OR head.bound AND head.available < need THEN RETURN; END IF;
  IF head.bound THEN lot := head.lot_id; END IF;
  UPDATE credit_account a SET held_requests = a.held_requests + 1,
    held_tokens = a.held_tokens + tokens_, held_nano_usd = a.held_nano_usd + need
  WHERE a.account_id = account AND a.home_scopes = slot AND a.home_lot = lot
    AND a.home_until > instant AND a.held_requests + a.used_requests + 1 <= a.lent_requests
    AND a.held_tokens + a.used_tokens + tokens_ <= a.lent_tokens
    AND a.held_nano_usd + a.used_nano_usd + need <= a.lent_nano_usd
  RETURNING a.home_id, a.home_told INTO cell, told_;
  IF NOT FOUND THEN
    UPDATE quota_cell c SET holds = c.holds + 1, left_requests = c.left_requests - 1,
      left_tokens = c.left_tokens - tokens_, left_nano_usd = c.left_nano_usd - need,
      held_requests = c.held_requests + 1, held_tokens = c.held_tokens + tokens_,
      held_nano_usd = c.held_nano_usd + need
    WHERE c.account_id = account AND c.scopes = slot AND c.live AND c.lot_id = lot
      AND c.until > instant AND c.left_requests >= 1 AND c.left_tokens >= tokens_
      AND c.left_nano_usd >= need
    RETURNING c.cell_id, c.told INTO cell, told_;
  END IF;
  told_ := CASE WHEN told_ <> '' THEN told_ || tokens_ ELSE '' END;
END $function$;

CREATE OR REPLACE FUNCTION public.ledger_quota_even(account uuid, slot bytea, instant timestamp with time zone)
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
BEGIN
  PERFORM ledger_quota_flush(account);
  UPDATE quota_cell SET live = false WHERE account_id = account AND live
    AND (until <= instant OR lot_id <> '00000000-0000-0000-0000-000000000000');
  DELETE FROM quota_cell WHERE account_id = account AND NOT live AND holds = 0;
  RETURN (SELECT cell_id FROM quota_cell WHERE account_id = account AND scopes = slot AND live);
END $function$;

CREATE OR REPLACE FUNCTION public.ledger_quota_flush(account uuid)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
  PERFORM ledger_quota_leave(ARRAY[account]);
  WITH moved AS MATERIALIZED (
    SELECT p.quota_id, p.begins, sum(p.used)::bigint AS used, sum(p.held)::bigint AS held
    FROM quota_cell_part p WHERE p.account_id = account AND (p.used <> 0 OR p.held <> 0)
    GROUP BY p.quota_id, p.begins
  ), cleared AS (
    UPDATE quota_cell SET held_requests = 0, held_tokens = 0, held_nano_usd = 0,
      used_requests = 0, used_tokens = 0, used_nano_usd = 0
    WHERE account_id = account AND (held_requests <> 0 OR held_tokens <> 0 OR held_nano_usd <> 0
      OR used_requests <> 0 OR used_tokens <> 0 OR used_nano_usd <> 0)
  )
  UPDATE quota_window w SET used = least(w.used + m.used, 4000000000000000000),
    held = w.held + m.held
  FROM moved m WHERE w.quota_id = m.quota_id AND w.begins = m.begins;
END $function$;

CREATE OR REPLACE FUNCTION public.ledger_quota_parts(account uuid, scopes uuid[], need bigint, tokens bigint, instant timestamp with time zone, own bigint, OUT lacking bigint, OUT lent boolean, OUT ids uuid[], OUT begins timestamp with time zone[], OUT amounts bigint[], OUT units smallint[], OUT until timestamp with time zone, OUT rooms bigint[])
 RETURNS record
 LANGUAGE plpgsql
 STABLE
AS $function$
BEGIN
  SELECT
    (array_agg(q.number ORDER BY q.quota_id) FILTER (WHERE r.room < 0))[1],
    coalesce(bool_or(l.lent > 0), false),
    array_agg(q.quota_id ORDER BY q.quota_id), array_agg(n.begins ORDER BY q.quota_id),
    array_agg(n.claim ORDER BY q.quota_id), array_agg(q.code ORDER BY q.quota_id),
    coalesce(min(quota_end(q.period, q.zone, n.begins)), 'infinity'),
    ARRAY[coalesce(min(r.room) FILTER (WHERE q.code = 1), 2000000000000000000),
      coalesce(min(r.room) FILTER (WHERE q.code = 2), 2000000000000000000),
      coalesce(min(r.room) FILTER (WHERE q.code = 3), 2000000000000000000)]
  INTO lacking, lent, ids, begins, amounts, units, until, rooms
  FROM quota q
  CROSS JOIN LATERAL (
    SELECT quota_begin(q.period, q.zone, instant) AS begins,
      CASE q.code WHEN 1 THEN 1 WHEN 2 THEN tokens ELSE need END AS claim
  ) n
  LEFT JOIN quota_window w ON w.quota_id = q.quota_id AND w.begins = n.begins
  LEFT JOIN (
    SELECT c.quota_id, sum(c.lent)::bigint AS lent FROM quota_cell_part c
    WHERE c.account_id = account AND c.live AND c.cell_id IS DISTINCT FROM own GROUP BY c.quota_id
  ) l ON l.quota_id = q.quota_id
  CROSS JOIN LATERAL (
    SELECT q.quota_limit - coalesce(w.used + w.held, 0) - coalesce(l.lent, 0) - n.claim AS room
  ) r
  WHERE q.account_id = account AND q.scope_id = ANY (scopes) AND NOT q.removed;
END $function$;

CREATE OR REPLACE FUNCTION public.quota_end(period text, zone text, begins timestamp with time zone)
 RETURNS timestamp with time zone
 LANGUAGE sql
 STABLE
AS $function$
  SELECT CASE WHEN period <> 'total'
    THEN date_trunc(period, (begins AT TIME ZONE zone) + ('1 ' || period)::interval) AT TIME ZONE zone
  END
$function$;

CREATE OR REPLACE FUNCTION public.quota_begin(period text, zone text, instant timestamp with time zone)
 RETURNS timestamp with time zone
 LANGUAGE sql
 STABLE
AS $function$
  SELECT CASE period WHEN 'total' THEN timestamptz 'epoch' ELSE date_trunc(period, instant, zone) END
$function$;

CREATE OR REPLACE FUNCTION public.quota_scopes(account uuid, slot bytea)
 RETURNS uuid[]
 LANGUAGE plpgsql
 IMMUTABLE
AS $function$
BEGIN
  RETURN account || ARRAY(
    SELECT encode(substr(slot, n, 16), 'hex')::uuid FROM generate_series(1, length(slot), 16) AS n);
END $function$;

CREATE OR REPLACE FUNCTION public.ledger_quota_close(account uuid)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
  PERFORM ledger_quota_flush(account);
  UPDATE quota_cell SET live = false WHERE account_id = account AND live;
  DELETE FROM quota_cell WHERE account_id = account AND holds = 0;
END $function$;

CREATE OR REPLACE FUNCTION public.ledger_quota_come(account uuid)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
DECLARE cell bigint; many bigint;
BEGIN
  SELECT max(cell_id), count(*) INTO cell, many FROM quota_cell WHERE account_id = account AND live;
  IF many <> 1 THEN RETURN; END IF;
  UPDATE credit_account a SET home_id = c.cell_id, home_lot = c.lot_id, home_until = c.until,
    lent_requests = c.left_requests, lent_tokens = c.left_tokens, lent_nano_usd = c.left_nano_usd,
    held_requests = 0, held_tokens = 0, held_nano_usd = 0, used_requests = 0, used_tokens = 0,
    used_nano_usd = 0, home_scopes = c.scopes, home_told = c.told
  FROM quota_cell c
  WHERE a.account_id = account AND a.home_id IS NULL AND c.cell_id = cell;
  IF FOUND THEN
    UPDATE quota_cell SET left_requests = 0, left_tokens = 0, left_nano_usd = 0
    WHERE cell_id = cell;
  END IF;
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

CREATE OR REPLACE FUNCTION public.quota_told(ids uuid[], begins timestamp with time zone[])
 RETURNS text
 LANGUAGE plpgsql
 STABLE
AS $function$
BEGIN
  -- What the event of a hold says of its quotas, up to the number of its tokens.
  RETURN (
    SELECT coalesce(',"bound_by":{' || string_agg(
      '"' || p.id || '":"' || iso_instant(p.begins) || '"', ',' ORDER BY p.ord)
      || '},"held_tokens":', '')
    FROM unnest(ids, begins) WITH ORDINALITY AS p(id, begins, ord));
END $function$;

CREATE OR REPLACE FUNCTION public.ledger_quota_open(account uuid, slot bytea, lot uuid, own bigint, ids uuid[], begins timestamp with time zone[], units smallint[], until timestamp with time zone, rooms bigint[])
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
DECLARE cell bigint;
BEGIN
  IF own IS NOT NULL AND lot = '00000000-0000-0000-0000-000000000000' THEN
    UPDATE quota_cell SET holds = holds + 1, left_requests = rooms[1] / 2,
      left_tokens = rooms[2] / 2, left_nano_usd = rooms[3] / 2
    WHERE cell_id = own;
    PERFORM ledger_quota_come(account);
    RETURN own;
  END IF;
  UPDATE quota_cell SET live = false WHERE cell_id = own;
  IF (SELECT count(*) FROM quota_cell WHERE account_id = account) >= 256 THEN
    PERFORM ledger_quota_close(account);
    IF (SELECT count(*) FROM quota_cell WHERE account_id = account) >= 256 THEN RETURN NULL; END IF;
  END IF;
  INSERT INTO quota_cell (account_id, lot_id, until, holds, left_requests, left_tokens,
    left_nano_usd, scopes, quota_ids, begins, units, told)
  VALUES (account, lot, until, 1, rooms[1] / 2, rooms[2] / 2, rooms[3] / 2, slot,
    coalesce(ids, '{}'), coalesce(begins, '{}'), coalesce(units, '{}'), quota_told(ids, begins))
  RETURNING cell_id INTO cell;
  PERFORM ledger_quota_come(account);
  RETURN cell;
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

CREATE OR REPLACE FUNCTION public.ledger_extend(call uuid, need bigint, state_ bytea, follows uuid, instant timestamp with time zone, topics text[], tokens bigint, OUT code smallint, OUT figure bigint)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
DECLARE
  hold open_hold; acct record; parts record; quotas record; barred record;
  barred_lots uuid[] := '{}'; spare bigint; cell bigint; told text := '';
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
    PERFORM ledger_quota_even(hold.account_id, '', instant);
    cell := hold.cell_id;
    IF cell IS NOT NULL THEN hold := ledger_quota_named(hold); END IF;
    quotas := ledger_quota_extend(hold, '{}', need, tokens);
    IF quotas.lacking IS NOT NULL AND quotas.lent THEN
      PERFORM ledger_quota_close(hold.account_id);
      quotas := ledger_quota_extend(hold, '{}', need, tokens);
    END IF;
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
    UPDATE open_hold SET quota_ids = hold.quota_ids, quota_begins = hold.quota_begins,
      quota_units = hold.quota_units, cell_id = NULL, quota_tokens = NULL, quota_amounts = ARRAY(
      SELECT a.was + a.more
      FROM unnest(hold.quota_amounts, quotas.amounts) WITH ORDINALITY AS a(was, more, ord)
      ORDER BY a.ord)
    WHERE call_id = call;
    UPDATE quota_cell SET holds = holds - 1 WHERE cell_id = cell;
    PERFORM ledger_quota_come(hold.account_id);
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

CREATE OR REPLACE FUNCTION public.ledger_quota_named(hold open_hold)
 RETURNS open_hold
 LANGUAGE plpgsql
 STABLE
AS $function$
BEGIN
  SELECT c.quota_ids, c.begins, c.units, ARRAY(
    SELECT CASE u.unit WHEN 1 THEN 1 WHEN 2 THEN hold.quota_tokens ELSE hold.amount END
    FROM unnest(c.units) WITH ORDINALITY AS u(unit, ord) ORDER BY u.ord)
  INTO hold.quota_ids, hold.quota_begins, hold.quota_units, hold.quota_amounts
  FROM quota_cell c WHERE c.cell_id = hold.cell_id;
  RETURN hold;
END $function$;

CREATE OR REPLACE FUNCTION public.ledger_quota_extend(hold open_hold, lots uuid[], need bigint, tokens bigint, OUT lacking bigint, OUT lent boolean, OUT amounts bigint[], OUT told text)
 RETURNS record
 LANGUAGE plpgsql
 STABLE
AS $function$
BEGIN
  SELECT
    (array_agg(c.number ORDER BY c.ord) FILTER (WHERE c.full_))[1],
    coalesce(bool_or(c.lent > 0), false),
    array_agg(c.claim ORDER BY c.ord),
    quota_parts(
      array_agg(c.id ORDER BY c.ord) FILTER (WHERE c.claim > 0),
      array_agg(c.begins ORDER BY c.ord) FILTER (WHERE c.claim > 0),
      array_agg(c.claim ORDER BY c.ord) FILTER (WHERE c.claim > 0))
  INTO lacking, lent, amounts, told
  FROM (
    SELECT p.id, p.begins, p.ord, q.number, n.claim, l.lent,
      q.scope_kind <> 'trial_lot' AND NOT q.removed
        AND w.used + w.held + coalesce(l.lent, 0) + n.claim > q.quota_limit AS full_
    FROM unnest(hold.quota_ids, hold.quota_begins) WITH ORDINALITY AS p(id, begins, ord)
    JOIN quota q ON q.quota_id = p.id
    JOIN quota_window w ON w.quota_id = p.id AND w.begins = p.begins
    LEFT JOIN (
      SELECT c.quota_id, c.begins, sum(c.lent)::bigint AS lent FROM quota_cell_part c
      WHERE c.account_id = hold.account_id AND c.live GROUP BY c.quota_id, c.begins
    ) l ON l.quota_id = p.id AND l.begins = p.begins
    CROSS JOIN LATERAL (SELECT CASE
      WHEN q.scope_kind = 'trial_lot' AND q.scope_id <> ALL (lots) THEN 0
      WHEN q.unit = 'tokens' THEN tokens WHEN q.unit = 'nano_usd' THEN need ELSE 0 END AS claim) n
  ) c;
END $function$;

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
    UPDATE credit_account SET bound = true, limited = true WHERE account_id = account;
  END IF;
  PERFORM ledger_pay_owed(account, state_, instant, topics);
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

CREATE OR REPLACE FUNCTION public.ledger_pay_owed(account uuid, state_ bytea, instant timestamp with time zone, topics text[])
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
DECLARE acct record; parts record; stream_version bigint;
BEGIN
  SELECT owed, next_expiry INTO acct FROM credit_account WHERE account_id = account;
  IF acct.owed IS NULL OR acct.owed = 0 THEN RETURN 0; END IF;
  IF acct.next_expiry <= instant THEN
    PERFORM ledger_book_expiry(account, instant, topics[7]);
  END IF;
  parts := ledger_take_back(account, acct.owed, NULL, false, instant);
  IF parts.taken = 0 THEN RETURN 0; END IF;
  PERFORM ledger_lots_lose(account, parts.ids, parts.amounts);
  UPDATE credit_account SET version = version + 1, available = available - parts.taken,
    owed = owed - parts.taken
  WHERE account_id = account RETURNING version INTO stream_version;
  INSERT INTO events (originator_id, originator_version, topic, state, booked_at)
  VALUES (account, stream_version, topics[11], convert_to(
    '{"id":"' || new_event_id(instant) || '","effective_at":"' || iso_instant(instant)
    || '","actor":"system:receivables","correlation_id":"' || account || '","causation_id":"'
    || convert_from(substr(state_, 8, 36), 'UTF8') || '","account_id":"' || account
    || '","amount_nano_usd":' || parts.taken || ',"lots":'
    || lot_parts(parts.ids, parts.amounts) || '}', 'UTF8'), instant);
  RETURN parts.taken;
END $function$;

CREATE OR REPLACE FUNCTION public.ledger_take_back(account uuid, need bigint, first uuid, movable_only boolean, instant timestamp with time zone, OUT ids uuid[], OUT amounts bigint[], OUT taken bigint)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
DECLARE lot record; part bigint; looked_at int := 0; disputed uuid[] := '{}';
BEGIN
  IF movable_only THEN
    SELECT coalesce(array_agg((d.fact ->> 'lot_id')::uuid), '{}') INTO disputed
    FROM (
      SELECT convert_from(e.state, 'UTF8')::jsonb AS fact FROM events e
      WHERE e.originator_id = account AND e.topic LIKE '%.credits_debited.%'
    ) d
    WHERE d.fact ->> 'kind' = 'dispute' AND d.fact ->> 'lot_id' IS NOT NULL;
  END IF;
  -- Against the burn-down order: what was bought last goes first, and `first` before it.
  ids := '{}'; amounts := '{}'; taken := 0;
  FOR lot IN
    SELECT lot_id, available, kind FROM credit_lot
    WHERE account_id = account AND available > 0 AND expires_at > instant
      AND NOT (movable_only AND (kind = 'trial' OR lot_id = ANY (disputed)))
    ORDER BY lot_id IS NOT DISTINCT FROM first DESC, priority DESC, expires_at DESC, sequence DESC
  LOOP
    EXIT WHEN taken = need OR movable_only AND looked_at = 100;
    looked_at := looked_at + 1;
    part := least(lot.available, need - taken);
    ids := ids || lot.lot_id; amounts := amounts || part; taken := taken + part;
  END LOOP;
END $function$;

CREATE OR REPLACE FUNCTION public.ledger_lots_lose(account uuid, ids uuid[], amounts bigint[])
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
  UPDATE credit_lot l SET available = l.available - p.amount
  FROM unnest(ids, amounts) AS p(id, amount) WHERE l.lot_id = p.id;
  DELETE FROM credit_lot WHERE account_id = account AND available = 0 AND held = 0;
END $function$;

CREATE OR REPLACE FUNCTION public.ledger_resolve(kind smallint, call uuid, cost bigint, state_ bytea, reply bytea, follows uuid, instant timestamp with time zone, topics text[], owner uuid, tokens bigint, OUT code smallint, OUT figure bigint)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
DECLARE
  hold open_hold; lot record; taken bigint; rest bigint; missing bigint;
  released bigint := 0; broken bigint := 0; loss bigint := 0; expiry timestamptz; due timestamptz;
  used bigint[] := '{}'; given bigint[] := '{}'; lost bigint[] := '{}';
  more uuid[] := '{}'; more_amounts bigint[] := '{}'; beyond bigint := 0; spendable bigint;
  told text := ''; emptied boolean := false;
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
    UPDATE credit_lot SET held = held - hold.lot_amounts[i],
      available = available + CASE WHEN expires_at > instant THEN rest ELSE 0 END
    WHERE lot_id = hold.lot_ids[i]
    RETURNING expires_at, emptied OR available + held = 0 INTO expiry, emptied;
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
        AND NOT (bound AND (hold.quota_ids IS NULL AND hold.cell_id IS NULL
          OR lot_id <> ALL (hold.lot_ids)))
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
  IF hold.cell_id IS NOT NULL AND beyond = 0 AND (kind <> 3 OR tokens <= hold.quota_tokens) THEN
    UPDATE credit_account a SET held_requests = a.held_requests - 1,
      held_tokens = a.held_tokens - hold.quota_tokens,
      held_nano_usd = a.held_nano_usd - hold.amount,
      used_requests = a.used_requests + CASE WHEN kind = 3 THEN 1 ELSE 0 END,
      used_tokens = least(
        a.used_tokens + CASE WHEN kind = 3 THEN tokens ELSE 0 END, 4000000000000000000),
      used_nano_usd = a.used_nano_usd
        + CASE WHEN kind = 3 THEN hold.amount - released - broken ELSE 0 END
    WHERE a.account_id = hold.account_id AND a.home_id = hold.cell_id;
    IF NOT FOUND THEN
      UPDATE quota_cell c SET holds = c.holds - 1,
        left_requests = c.left_requests + CASE WHEN kind = 3 THEN 0 ELSE 1 END,
        left_tokens = least(c.left_tokens + hold.quota_tokens - u.tokens, 4000000000000000000),
        left_nano_usd = least(c.left_nano_usd + hold.amount - u.nano_usd, 4000000000000000000),
        held_requests = c.held_requests - 1, held_tokens = c.held_tokens - hold.quota_tokens,
        held_nano_usd = c.held_nano_usd - hold.amount,
        used_requests = c.used_requests + CASE WHEN kind = 3 THEN 1 ELSE 0 END,
        used_tokens = least(c.used_tokens + u.tokens, 4000000000000000000),
        used_nano_usd = c.used_nano_usd + u.nano_usd
      FROM (SELECT CASE WHEN kind = 3 THEN tokens ELSE 0 END AS tokens,
        CASE WHEN kind = 3 THEN hold.amount - released - broken ELSE 0 END AS nano_usd) u
      WHERE c.cell_id = hold.cell_id;
    END IF;
  ELSIF hold.cell_id IS NOT NULL OR hold.quota_ids IS NOT NULL THEN
    IF hold.cell_id IS NOT NULL THEN
      hold := ledger_quota_named(hold);
      PERFORM ledger_quota_flush(hold.account_id);
      UPDATE quota_cell SET holds = holds - 1 WHERE cell_id = hold.cell_id;
    END IF;
    IF kind = 3 AND (beyond > 0 OR EXISTS (
      SELECT FROM unnest(hold.quota_units, hold.quota_amounts) AS p(unit, held)
      WHERE p.unit = 2 AND p.held < tokens)) THEN
      -- More is used than was held, so what was lent may not be there.
      PERFORM ledger_quota_close(hold.account_id);
    END IF;
    told := ledger_quota_resolve(
      hold, kind = 3, tokens, hold.amount - released - broken + beyond);
    PERFORM ledger_quota_come(hold.account_id);
  END IF;
  IF emptied OR beyond > 0 THEN
    DELETE FROM credit_lot WHERE account_id = hold.account_id AND available = 0 AND held = 0;
  END IF;
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
  spendable := spendable - ledger_pay_owed(hold.account_id, state_, instant, topics);
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
  SELECT CASE WHEN max(m.overrun) > 0 THEN ',"quotas":[' || string_agg(
    '{"quota_id":"' || m.id || '","begins":"' || iso_instant(m.begins)
    || '","held":' || m.held || ',"used":' || m.used - m.overrun
    || ',"overrun":' || m.overrun || '}', ',' ORDER BY m.ord) || ']' ELSE '' END
  INTO told FROM moved m;
  RETURN told;
END $function$;

CREATE OR REPLACE FUNCTION public.ledger_debit(debit uuid, account uuid, amount bigint, state_ bytea, instant timestamp with time zone, topics text[], OUT code smallint, OUT figure bigint)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
DECLARE fact jsonb; acct record; before record; parts record;
BEGIN
  IF amount NOT BETWEEN 1 AND 10000000000000000 THEN code := 11; RETURN; END IF;
  fact := convert_from(state_ || '\x7d'::bytea, 'UTF8')::jsonb;
  before := ledger_debited_before(debit, account, amount, fact, topics);
  IF before.code IS NOT NULL THEN code := before.code; figure := before.figure; RETURN; END IF;
  SELECT owed, next_expiry INTO acct FROM credit_account WHERE account_id = account;
  IF acct.owed > 1000000000000000000 - amount THEN code := 12; RETURN; END IF;
  IF acct.next_expiry <= instant THEN
    PERFORM ledger_book_expiry(account, instant, topics[7]);
  END IF;
  INSERT INTO debit_key VALUES (debit);
  parts := ledger_take_back(account, amount, (fact ->> 'lot_id')::uuid, false, instant);
  PERFORM ledger_lots_lose(account, parts.ids, parts.amounts);
  PERFORM ledger_debit_booked(
    account, amount, parts.taken, parts.ids, parts.amounts, state_, instant, topics);
  code := 0; figure := parts.taken;
END $function$;

CREATE OR REPLACE FUNCTION public.ledger_debited_before(debit uuid, account uuid, amount bigint, fact jsonb, topics text[], OUT code smallint, OUT figure bigint)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
BEGIN
  IF NOT EXISTS (SELECT FROM debit_key WHERE debit_id = debit) THEN RETURN; END IF;
  SELECT (e.done ->> 'taken_nano_usd')::bigint, CASE WHEN
    (e.done ->> 'amount_nano_usd')::bigint = amount AND e.done ->> 'kind' = fact ->> 'kind'
    AND e.done ->> 'to_account_id' IS NOT DISTINCT FROM fact ->> 'to_account_id' THEN 2 ELSE 5 END
  INTO figure, code
  FROM (
    SELECT convert_from(state, 'UTF8')::jsonb AS done FROM events
    WHERE originator_id = account AND topic = topics[10]
  ) e WHERE e.done ->> 'debit_id' = debit::text;
  code := coalesce(code, 5);
END $function$;

CREATE OR REPLACE FUNCTION public.ledger_debit_booked(account uuid, amount bigint, taken bigint, ids uuid[], amounts bigint[], state_ bytea, instant timestamp with time zone, topics text[])
 RETURNS void
 LANGUAGE plpgsql
AS $function$
DECLARE stream_version bigint;
BEGIN
  INSERT INTO credit_account (account_id, version, debited, owed) VALUES (account, 1, amount, amount)
  ON CONFLICT (account_id) DO UPDATE SET version = credit_account.version + 1,
    available = credit_account.available - taken, debited = credit_account.debited + amount,
    owed = credit_account.owed + amount - taken
  RETURNING version INTO stream_version;
  INSERT INTO events (originator_id, originator_version, topic, state, booked_at)
  VALUES (account, stream_version, topics[10], state_ || convert_to(
    ',"taken_nano_usd":' || taken || ',"owed_nano_usd":' || amount - taken
    || ',"lots":' || lot_parts(ids, amounts) || '}', 'UTF8'), instant);
END $function$;

CREATE OR REPLACE FUNCTION public.ledger_transfer(debit uuid, account uuid, amount bigint, state_ bytea, instant timestamp with time zone, topics text[], OUT code smallint, OUT figure bigint)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
DECLARE
  fact jsonb; target uuid; before record; parts record; lot record; made uuid; at bigint;
  stream_version bigint;
BEGIN
  fact := convert_from(state_ || '\x7d'::bytea, 'UTF8')::jsonb;
  target := (fact ->> 'to_account_id')::uuid;
  IF amount NOT BETWEEN 1 AND 10000000000000000 OR target = account THEN code := 11; RETURN; END IF;
  before := ledger_debited_before(debit, account, amount, fact, topics);
  IF before.code IS NOT NULL THEN code := before.code; figure := before.figure; RETURN; END IF;
  SELECT greatest(1000000000000000000 - granted, 0) INTO figure
  FROM credit_account WHERE account_id = target;
  IF amount > figure THEN code := 12; RETURN; END IF;
  IF (SELECT next_expiry <= instant FROM credit_account WHERE account_id = account) THEN
    PERFORM ledger_book_expiry(account, instant, topics[7]);
  END IF;
  parts := ledger_take_back(account, amount, NULL, true, instant);
  IF parts.taken < amount THEN code := 1; figure := parts.taken; RETURN; END IF;
  INSERT INTO debit_key VALUES (debit);
  PERFORM ledger_debit_booked(
    account, amount, amount, parts.ids, parts.amounts, state_, instant, topics);
  FOR lot IN
    SELECT l.lot_id, l.kind, l.priority, l.expires_at, p.amount
    FROM unnest(parts.ids, parts.amounts) WITH ORDINALITY AS p(id, amount, ord)
    JOIN credit_lot l ON l.lot_id = p.id ORDER BY p.ord
  LOOP
    made := lot_quota_id(debit, lot.lot_id::text);
    INSERT INTO grant_key VALUES (made);
    INSERT INTO credit_account (account_id, version, granted, available, next_expiry)
    VALUES (target, 1, lot.amount, lot.amount, lot.expires_at)
    ON CONFLICT (account_id) DO UPDATE SET version = credit_account.version + 1,
      granted = credit_account.granted + lot.amount,
      available = credit_account.available + lot.amount,
      next_expiry = least(credit_account.next_expiry, lot.expires_at)
    RETURNING version INTO stream_version;
    INSERT INTO events (originator_id, originator_version, topic, state, booked_at)
    VALUES (target, stream_version, topics[6], convert_to(
      '{"id":"' || new_event_id(instant) || '","effective_at":' || (fact -> 'effective_at')::text
      || ',"actor":' || (fact -> 'actor')::text || ',"correlation_id":'
      || (fact -> 'correlation_id')::text || ',"causation_id":' || (fact -> 'id')::text
      || ',"account_id":"' || target || '","lot_id":"' || made || '","kind":"' || lot.kind
      || '","priority":' || lot.priority || ',"amount_nano_usd":' || lot.amount
      || ',"expires_at":' || CASE WHEN lot.expires_at = 'infinity' THEN 'null'
        ELSE '"' || iso_instant(lot.expires_at) || '"' END
      || ',"reason":' || coalesce((fact -> 'reason')::text, '""') || ',"transfer_id":"' || debit
      || '","from_account_id":"' || account || '"}', 'UTF8'), instant)
    RETURNING notification_id INTO at;
    INSERT INTO credit_lot VALUES (made, target, lot.kind, lot.priority, lot.expires_at, at,
      lot.amount, 0, false);
  END LOOP;
  PERFORM ledger_lots_lose(account, parts.ids, parts.amounts);
  PERFORM ledger_pay_owed(target, state_, instant, topics);
  code := 0; figure := amount;
END $function$;

CREATE OR REPLACE FUNCTION public.ledger_correct(call uuid, payer uuid, new_cost bigint, state_ bytea, instant timestamp with time zone, topics text[], OUT code smallint, OUT figure bigint)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
DECLARE
  fact jsonb; charge record; back bigint; more bigint; part bigint; left_ bigint; parts record;
  given uuid[] := '{}'; given_amounts bigint[] := '{}'; renewed uuid[] := '{}';
  renewed_amounts bigint[] := '{}'; new_ bigint := 0; at bigint;
BEGIN
  charge := ledger_charge_of(call, topics);
  IF charge.account IS DISTINCT FROM payer THEN code := 9; RETURN; END IF;
  fact := convert_from(state_ || '\x7d'::bytea, 'UTF8')::jsonb;
  SELECT CASE WHEN (e.done ->> 'cost_nano_usd')::bigint = new_cost THEN 2 ELSE 5 END INTO code
  FROM (SELECT convert_from(state, 'UTF8')::jsonb AS done FROM events
    WHERE originator_id = call AND topic = topics[12]) e
  WHERE e.done ->> 'price_version' = fact ->> 'price_version';
  IF code IS NOT NULL THEN RETURN; END IF;
  IF (SELECT next_expiry <= instant FROM credit_account WHERE account_id = payer) THEN
    PERFORM ledger_book_expiry(payer, instant, topics[7]);
  END IF;
  back := greatest(charge.charged - new_cost, 0);
  more := greatest(new_cost - greatest(charge.charged, charge.cost), 0);
  parts := ledger_take_back(payer, more, NULL, false, instant);
  PERFORM ledger_lots_lose(payer, parts.ids, parts.amounts);
  left_ := back;
  FOR i IN 1 .. coalesce(cardinality(charge.ids), 0) LOOP
    EXIT WHEN left_ = 0;
    part := least(charge.amounts[i], left_);
    left_ := left_ - part;
    IF ledger_lot_again(charge.ids[i], payer, part, instant) THEN
      given := given || charge.ids[i]; given_amounts := given_amounts || part;
    ELSE
      renewed := renewed || charge.ids[i]; renewed_amounts := renewed_amounts || part;
      new_ := new_ + part;
    END IF;
  END LOOP;
  new_ := new_ + left_;
  UPDATE credit_account SET available = available + back - parts.taken,
    settled = settled + more - back, owed = owed + more - parts.taken
  WHERE account_id = payer;
  INSERT INTO events (originator_id, originator_version, topic, state, booked_at)
  VALUES (call, charge.version + 1, topics[12], state_ || convert_to(
    ',"returned_nano_usd":' || back || ',"renewed_nano_usd":' || new_
    || ',"taken_nano_usd":' || parts.taken || ',"owed_nano_usd":' || more - parts.taken
    || ',"lots":' || lot_parts(parts.ids, parts.amounts)
    || ',"returned_lots":' || lot_parts(given, given_amounts)
    || ',"renewed_lots":' || lot_parts(renewed, renewed_amounts) || '}', 'UTF8'), instant)
  RETURNING notification_id INTO at;
  IF new_ > 0 THEN
    INSERT INTO grant_key VALUES ((fact ->> 'lot_id')::uuid, at);
    INSERT INTO credit_lot VALUES ((fact ->> 'lot_id')::uuid, payer, 'bonus', 20, 'infinity', at,
      new_, 0, false);
  END IF;
  PERFORM ledger_pay_owed(payer, state_, instant, topics);
  code := 0; figure := more - back;
END $function$;

CREATE OR REPLACE FUNCTION public.ledger_charge_of(call uuid, topics text[], OUT account uuid, OUT charged bigint, OUT cost bigint, OUT version bigint, OUT ids uuid[], OUT amounts bigint[])
 RETURNS record
 LANGUAGE plpgsql
 STABLE
AS $function$
BEGIN
  -- What stands charged, and which lots paid it, the last first.
  WITH told AS MATERIALIZED (
    SELECT e.originator_version AS version, e.topic = topics[3] AS settles,
      convert_from(e.state, 'UTF8')::jsonb AS fact
    FROM events e WHERE e.originator_id = call AND e.topic IN (topics[3], topics[12])
  ), moved AS (
    SELECT (p.part ->> 'lot_id')::uuid AS lot,
      (p.part ->> 'amount_nano_usd')::bigint * m.sign AS amount,
      CASE WHEN m.sign > 0 THEN ARRAY[t.version, m.place, p.ord] END AS place
    FROM told t
    CROSS JOIN (VALUES ('lots', 1, 1), ('beyond_lots', 1, 2), ('returned_lots', -1, 0),
      ('renewed_lots', -1, 0)) AS m(name, sign, place)
    CROSS JOIN LATERAL jsonb_array_elements(t.fact -> m.name) WITH ORDINALITY AS p(part, ord)
    WHERE CASE WHEN t.settles THEN m.sign > 0 ELSE m.name <> 'beyond_lots' END
  ), net AS (
    SELECT lot, sum(amount)::bigint AS amount, max(place) AS place FROM moved GROUP BY lot
  )
  SELECT (SELECT (t.fact ->> 'account_id')::uuid FROM told t WHERE t.settles),
    (SELECT sum(CASE WHEN t.settles THEN (t.fact ->> 'settled_nano_usd')::bigint
      ELSE (t.fact ->> 'taken_nano_usd')::bigint + (t.fact ->> 'owed_nano_usd')::bigint
        - (t.fact ->> 'returned_nano_usd')::bigint END)::bigint FROM told t),
    (SELECT (t.fact ->> 'cost_nano_usd')::bigint FROM told t ORDER BY t.version DESC LIMIT 1),
    (SELECT max(e.originator_version) FROM events e WHERE e.originator_id = call),
    array_agg(n.lot ORDER BY n.place DESC) FILTER (WHERE n.amount > 0),
    array_agg(n.amount ORDER BY n.place DESC) FILTER (WHERE n.amount > 0)
  INTO account, charged, cost, version, ids, amounts FROM net n;
END $function$;

CREATE OR REPLACE FUNCTION public.ledger_lot_again(lot uuid, account uuid, amount bigint, instant timestamp with time zone)
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

CREATE OR REPLACE FUNCTION public.ledger_close_lot(lot uuid, account uuid, state_ bytea, instant timestamp with time zone, topics text[], OUT code smallint, OUT figure bigint)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
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
