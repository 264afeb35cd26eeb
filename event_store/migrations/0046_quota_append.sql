-- Holds, extensions and outcomes move the quotas that bind them, all or nothing with the credits.
-- depends: 0045_quota

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

DROP FUNCTION ledger_append;
DROP FUNCTION ledger_append_in_order;
DROP FUNCTION ledger_resolve;
DROP FUNCTION ledger_extend;
DROP FUNCTION ledger_hold;
DROP FUNCTION ledger_reserve;

-- Every quota of an account on these scopes, in the order of their ids: the window of an instant, what
-- a call claims of it, and the number of the first that has no room for that.
CREATE FUNCTION ledger_quota_parts(
  account uuid, scopes uuid[], need bigint, tokens bigint, instant timestamptz,
  OUT lacking bigint, OUT ids uuid[], OUT begins timestamptz[], OUT amounts bigint[],
  OUT units smallint[]
) LANGUAGE plpgsql STABLE AS $$
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
END $$;

-- The lots whose own quotas have no room for a call, and what lies on them; `credits` counts all,
-- `at_fault` those that a quota bars. An extension (`reserved` is where its hold lies) takes from no
-- lot with quotas that its hold has no reservation on.
CREATE FUNCTION ledger_barred_lots(
  account uuid, requests bigint, tokens bigint, instant timestamptz, reserved uuid[],
  OUT lots uuid[], OUT credits bigint, OUT at_fault bigint, OUT lacking bigint
) LANGUAGE plpgsql STABLE AS $$
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
END $$;

CREATE FUNCTION ledger_quota_reserve(ids uuid[], windows timestamptz[], amounts bigint[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO quota_window AS w (quota_id, begins, held)
  SELECT * FROM unnest(ids, windows, amounts)
  ON CONFLICT (quota_id, begins) DO UPDATE SET held = w.held + excluded.held;
END $$;

CREATE FUNCTION quota_parts(ids uuid[], begins timestamptz[], amounts bigint[]) RETURNS text
LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN (
    SELECT coalesce(',"quotas":[' || string_agg('{"quota_id":"' || p.id || '","begins":"'
      || to_char(p.begins AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
      || '","held":' || p.amount || '}', ',' ORDER BY p.ord) || ']', '')
    FROM unnest(ids, begins, amounts) WITH ORDINALITY AS p(id, begins, amount, ord));
END $$;

-- The quotas of an extension: in the windows of its hold, and of a lot only where it takes from it.
CREATE FUNCTION ledger_quota_extend(
  hold open_hold, lots uuid[], need bigint, tokens bigint,
  OUT lacking bigint, OUT amounts bigint[], OUT told text
) LANGUAGE plpgsql STABLE AS $$
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
END $$;

-- Each quota of a hold is corrected to what was used. What lies beyond both its hold and the limit is
-- overrun; on the quota of a lot a call uses no more than it holds there, where other lots pay too.
CREATE FUNCTION ledger_quota_resolve(hold open_hold, settles boolean, tokens bigint, settled bigint)
RETURNS text LANGUAGE plpgsql AS $$
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
END $$;

CREATE FUNCTION ledger_reserve(
  account uuid, need bigint, instant timestamptz, barred uuid[], OUT ids uuid[], OUT amounts bigint[]
) LANGUAGE plpgsql AS $$
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
END $$;

CREATE FUNCTION ledger_hold(
  call uuid, account uuid, need bigint, estimated bigint, state_ bytea, key bytea, follows uuid,
  instant timestamptz, owner uuid, ttl_s int, topics text[], tokens bigint, key_id uuid, user_id uuid,
  OUT code smallint, OUT figure bigint
) LANGUAGE plpgsql AS $$
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
END $$;

CREATE FUNCTION ledger_extend(
  call uuid, need bigint, state_ bytea, follows uuid, instant timestamptz, topics text[],
  tokens bigint,   OUT code smallint, OUT figure bigint
) LANGUAGE plpgsql AS $$
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
END $$;

CREATE FUNCTION ledger_resolve(
  kind smallint, call uuid, cost bigint, state_ bytea, reply bytea, follows uuid, instant timestamptz,
  topics text[], owner uuid, tokens bigint,
  OUT code smallint, OUT figure bigint
) LANGUAGE plpgsql AS $$
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
END $$;

CREATE OR REPLACE FUNCTION ledger_grant(
  lot uuid, account uuid, amount bigint, state_ bytea, instant timestamptz, topics text[],
  OUT code smallint, OUT figure bigint
) LANGUAGE plpgsql AS $$
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
END $$;

CREATE FUNCTION ledger_append_in_order(
  kinds smallint[], streams uuid[], ix int[], accounts uuid[], amounts bigint[], aux bigint[],
  states bytea[], keys bytea[], follows uuid[], chosen boolean[], instant timestamptz,
  topics text[], owner uuid, ttl_s int, tokens bigint[], key_ids uuid[], user_ids uuid[],
  INOUT codes smallint[], INOUT figures bigint[]
) LANGUAGE plpgsql AS $$
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
END $$;

CREATE FUNCTION ledger_append(
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
        OR h.quota_ids IS NOT NULL OR h.account_id <> accounts[e.ix] OR l.expires_at <= instant
        OR (e.kind = 3 AND e.amount > h.amount)));
    SELECT array_agg(n.ix = ANY (wide) IS TRUE OR a.account_id IS NULL OR a.bound
        OR a.next_expiry <= instant
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
      follows, special, instant, topics, owner, ttl_s, tokens, key_ids, user_ids, codes, figures);
    codes := in_order.codes; figures := in_order.figures;
  END IF;
  IF NOT pg_try_advisory_xact_lock(4716266) THEN
    NOTIFY events;
  END IF;
END $$;
