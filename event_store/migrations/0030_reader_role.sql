-- The role of those who only ask: read models, the log, balances; no secrets, no keys, no kept replies.
-- depends: 0029_reply_with_settlement

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

DO $$
DECLARE shown text;
BEGIN
  -- Roles are the server's: another database's migration may make it at the same moment.
  BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'gatewayz_reader') THEN
      CREATE ROLE gatewayz_reader NOLOGIN;
    END IF;
  EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
  END;
  BEGIN
    IF NOT pg_has_role('gatewayz_app', 'gatewayz_reader', 'MEMBER') THEN
      GRANT gatewayz_reader TO gatewayz_app;
    END IF;
  EXCEPTION WHEN unique_violation THEN NULL;
  END;
  FOR shown IN SELECT viewname FROM pg_views WHERE schemaname = 'public' AND viewname LIKE 'read\_%'
  LOOP
    EXECUTE format('GRANT SELECT ON %I TO gatewayz_reader', shown);
  END LOOP;
END $$;
GRANT USAGE ON SCHEMA public TO gatewayz_reader;
GRANT SELECT ON events, credit_account, credit_lot, open_hold, projection, projection_progress
  TO gatewayz_reader;
