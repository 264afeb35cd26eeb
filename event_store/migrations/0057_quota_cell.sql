-- A call counts on one cell for all the quotas that bind it, however many they are.
-- depends: 0056_quota_room

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE quota DROP CONSTRAINT quota_scope_kind_check;
ALTER TABLE quota ADD CONSTRAINT quota_scope_kind_check CHECK (
  scope_kind IN ('key', 'user', 'project', 'organisation', 'account', 'trial_lot'));

-- What the calls of one account and the same scopes may still take without a look at their quotas
-- (`left_…`, which is lent from the room of each), and what they moved since the quotas' windows were
-- last brought up to date (`held_…` and `used_…`, to be added there). `scopes` are the ids of the
-- scopes one behind the other, `lot_id` the lot whose quotas count too, or nil. The parts are the
-- windows of the present: from `until` on, and once a limit is another, the cell is not `live`, lends
-- nothing, and only waits for the ends of its `holds`.
CREATE TABLE quota_cell (
  cell_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  account_id uuid NOT NULL,
  lot_id uuid NOT NULL,
  until timestamptz NOT NULL,
  live boolean NOT NULL DEFAULT true,
  holds bigint NOT NULL DEFAULT 0,
  left_requests bigint NOT NULL,
  left_tokens bigint NOT NULL,
  left_nano_usd bigint NOT NULL,
  held_requests bigint NOT NULL DEFAULT 0,
  held_tokens bigint NOT NULL DEFAULT 0,
  held_nano_usd bigint NOT NULL DEFAULT 0,
  used_requests bigint NOT NULL DEFAULT 0,
  used_tokens bigint NOT NULL DEFAULT 0,
  used_nano_usd bigint NOT NULL DEFAULT 0,
  scopes bytea NOT NULL,
  quota_ids uuid[] NOT NULL,
  begins timestamptz[] NOT NULL,
  units smallint[] NOT NULL,
  told text NOT NULL,
  CHECK (left_requests >= 0 AND left_tokens >= 0 AND left_nano_usd >= 0)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX quota_cell_scopes_idx ON quota_cell (account_id, scopes);
GRANT SELECT, INSERT, UPDATE, DELETE ON quota_cell TO gatewayz_app;
GRANT SELECT ON quota_cell TO gatewayz_reader;

-- The cell of an account that has only one is at home here, in the row that every call reads and writes
-- anyway: what it lends and what was moved of it since it came. Null where none is. No constraint
-- checks these: one more would cost every update of an account, as PostgreSQL reads it anew each time.
ALTER TABLE credit_account
  ADD COLUMN home_id bigint, ADD COLUMN home_lot uuid, ADD COLUMN home_until timestamptz,
  ADD COLUMN lent_requests bigint, ADD COLUMN lent_tokens bigint, ADD COLUMN lent_nano_usd bigint,
  ADD COLUMN held_requests bigint, ADD COLUMN held_tokens bigint, ADD COLUMN held_nano_usd bigint,
  ADD COLUMN used_requests bigint, ADD COLUMN used_tokens bigint, ADD COLUMN used_nano_usd bigint,
  ADD COLUMN home_scopes bytea, ADD COLUMN home_told text;

-- Whether an account ever had a lot with quotas of its own: most never have.
ALTER TABLE credit_account ADD COLUMN limited boolean NOT NULL DEFAULT false;
UPDATE credit_account SET limited = true WHERE account_id IN (
  SELECT account_id FROM quota WHERE scope_kind = 'trial_lot');

-- A hold that counts on a cell, and its tokens. Holds that were placed before, and those of which
-- several lots pay where one has quotas, name their windows themselves as ever.
ALTER TABLE open_hold ADD COLUMN cell_id bigint, ADD COLUMN quota_tokens bigint,
  -- When the lot of a hold that lies on one ends; null where it has to be looked up.
  ADD COLUMN lot_until timestamptz;

-- Every window that a cell counts in, and what it has of it, at home or not.
CREATE VIEW quota_cell_part AS
  SELECT c.account_id, c.cell_id, c.live, p.id AS quota_id, p.begins, CASE p.unit
      WHEN 1 THEN c.used_requests + coalesce(a.used_requests, 0)
      WHEN 2 THEN c.used_tokens + coalesce(a.used_tokens, 0)
      ELSE c.used_nano_usd + coalesce(a.used_nano_usd, 0) END AS used, CASE p.unit
      WHEN 1 THEN c.held_requests + coalesce(a.held_requests, 0)
      WHEN 2 THEN c.held_tokens + coalesce(a.held_tokens, 0)
      ELSE c.held_nano_usd + coalesce(a.held_nano_usd, 0) END AS held, CASE p.unit
      WHEN 1 THEN c.left_requests
        + coalesce(a.lent_requests - a.held_requests - a.used_requests, 0)
      WHEN 2 THEN c.left_tokens + coalesce(a.lent_tokens - a.held_tokens - a.used_tokens, 0)
      ELSE c.left_nano_usd + coalesce(a.lent_nano_usd - a.held_nano_usd - a.used_nano_usd, 0)
    END AS lent
  FROM quota_cell c
  LEFT JOIN credit_account a ON a.account_id = c.account_id AND a.home_id = c.cell_id
  CROSS JOIN LATERAL unnest(c.quota_ids, c.begins, c.units) AS p(id, begins, unit);

-- All that was used and all that is held in each window: what is counted there, and on cells.
CREATE VIEW quota_count AS
  SELECT m.quota_id, m.begins, least(sum(m.used), 4000000000000000000)::bigint AS used,
    sum(m.held)::bigint AS held
  FROM (
    SELECT quota_id, begins, used, held FROM quota_window
    UNION ALL
    SELECT quota_id, begins, used, held FROM quota_cell_part
  ) m GROUP BY m.quota_id, m.begins;
GRANT SELECT ON quota_cell_part, quota_count TO gatewayz_app, gatewayz_reader;

CREATE FUNCTION quota_now(
  account uuid, quota uuid, begin timestamptz, OUT used bigint, OUT held bigint
) LANGUAGE sql STABLE AS $$
  -- As `quota_count`, of one window.
  SELECT least(coalesce(sum(m.used), 0), 4000000000000000000)::bigint,
    coalesce(sum(m.held), 0)::bigint
  FROM (
    SELECT w.used, w.held FROM quota_window w WHERE w.quota_id = quota AND w.begins = begin
    UNION ALL
    SELECT c.used, c.held FROM quota_cell_part c
    WHERE c.account_id = account AND c.quota_id = quota AND c.begins = begin
  ) m
$$;

-- No cell of these accounts is at home any more.
CREATE FUNCTION ledger_quota_leave(accounts uuid[]) RETURNS void LANGUAGE plpgsql AS $$
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
END $$;

-- The cell of an account comes home, where it is the only one that lends.
CREATE FUNCTION ledger_quota_come(account uuid) RETURNS void LANGUAGE plpgsql AS $$
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
END $$;

-- The windows of an account are brought up to date.
CREATE FUNCTION ledger_quota_flush(account uuid) RETURNS void LANGUAGE plpgsql AS $$
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
END $$;

-- Nothing of the quotas of an account is lent any more.
CREATE FUNCTION ledger_quota_close(account uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM ledger_quota_flush(account);
  UPDATE quota_cell SET live = false WHERE account_id = account AND live;
  DELETE FROM quota_cell WHERE account_id = account AND holds = 0;
END $$;

-- Before the quotas of an account are looked at one by one: what is past, and what lends from the
-- quotas of lots, is closed. The live cell of these scopes, if any.
CREATE FUNCTION ledger_quota_even(account uuid, slot bytea, instant timestamptz) RETURNS bigint
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM ledger_quota_flush(account);
  UPDATE quota_cell SET live = false WHERE account_id = account AND live
    AND (until <= instant OR lot_id <> '00000000-0000-0000-0000-000000000000');
  DELETE FROM quota_cell WHERE account_id = account AND NOT live AND holds = 0;
  RETURN (SELECT cell_id FROM quota_cell WHERE account_id = account AND scopes = slot AND live);
END $$;

CREATE FUNCTION quota_told(ids uuid[], begins timestamptz[]) RETURNS text
LANGUAGE plpgsql STABLE AS $$
BEGIN
  -- What the event of a hold says of its quotas, up to the number of its tokens.
  RETURN (
    SELECT coalesce(',"bound_by":{' || string_agg(
      '"' || p.id || '":"' || iso_instant(p.begins) || '"', ',' ORDER BY p.ord)
      || '},"held_tokens":', '')
    FROM unnest(ids, begins) WITH ORDINALITY AS p(id, begins, ord));
END $$;

-- The cell of a hold that has just been found to have room, which it may lend from: half of what is
-- not lent, so that others find some too. Nothing where an account has too many cells that wait.
CREATE FUNCTION ledger_quota_open(
  account uuid, slot bytea, lot uuid, own bigint, ids uuid[], begins timestamptz[],
  units smallint[], until timestamptz, rooms bigint[]
) RETURNS bigint LANGUAGE plpgsql AS $$
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
END $$;

-- A hold as if it had named its windows itself.
CREATE FUNCTION ledger_quota_named(hold open_hold) RETURNS open_hold LANGUAGE plpgsql STABLE AS $$
BEGIN
  SELECT c.quota_ids, c.begins, c.units, ARRAY(
    SELECT CASE u.unit WHEN 1 THEN 1 WHEN 2 THEN hold.quota_tokens ELSE hold.amount END
    FROM unnest(c.units) WITH ORDINALITY AS u(unit, ord) ORDER BY u.ord)
  INTO hold.quota_ids, hold.quota_begins, hold.quota_units, hold.quota_amounts
  FROM quota_cell c WHERE c.cell_id = hold.cell_id;
  RETURN hold;
END $$;

-- No quota binds an account any more: its holds name their windows themselves.
CREATE FUNCTION quota_unbind(account uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM ledger_quota_close(account);
  UPDATE open_hold h SET quota_ids = n.quota_ids, quota_begins = n.quota_begins,
    quota_amounts = n.quota_amounts, quota_units = n.quota_units, cell_id = NULL, quota_tokens = NULL
  FROM open_hold o CROSS JOIN LATERAL ledger_quota_named(o) n
  WHERE o.account_id = account AND o.cell_id IS NOT NULL AND h.call_id = o.call_id;
  DELETE FROM quota_cell WHERE account_id = account;
END $$;
