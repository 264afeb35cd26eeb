-- What a dispute was about is moved to no other account (money rule 16).
-- depends: 0088_auto_top_up

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE OR REPLACE FUNCTION ledger_take_back(
  account uuid, need bigint, first uuid, movable_only boolean, instant timestamptz,
  OUT ids uuid[], OUT amounts bigint[], OUT taken bigint
) LANGUAGE plpgsql AS $$
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
END $$;
