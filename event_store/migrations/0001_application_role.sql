-- The role the application runs as; migrations run as another.
-- depends:

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'gatewayz_app') THEN
    CREATE ROLE gatewayz_app NOLOGIN;
  END IF;
END $$;
