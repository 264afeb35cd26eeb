-- A hold that is asked for again may be refused for funds without its key staying refused.
-- depends: 0120_semantic_entry

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE OR REPLACE FUNCTION ledger_hold(call uuid, account uuid, need bigint, estimated bigint, state_ bytea, key bytea, follows uuid, instant timestamp with time zone, owner uuid, ttl_s integer, topics text[], tokens bigint, slot bytea, OUT code smallint, OUT figure bigint)
 RETURNS record
 LANGUAGE plpgsql
AS $$
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
END $$;
