-- Process managers: how far each has heard the log, and what it wants done that is not done yet. No rebuild touches them.
-- depends: 0081_payment_return

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE process_manager (
  name text PRIMARY KEY,
  position bigint NOT NULL CHECK (position >= 0),
  began_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  moved_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE manager_wish (
  manager text NOT NULL REFERENCES process_manager,
  key text NOT NULL,
  kind text NOT NULL,
  position bigint NOT NULL,
  details jsonb NOT NULL DEFAULT '{}',
  due_at timestamptz NOT NULL DEFAULT booking_clock(),
  tries integer NOT NULL DEFAULT 0,
  failed boolean NOT NULL DEFAULT false,
  error text NOT NULL DEFAULT '',
  made_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (manager, key)
);
CREATE INDEX manager_wish_due_idx ON manager_wish (due_at) WHERE NOT failed;
CREATE INDEX manager_wish_trouble_idx ON manager_wish (position) WHERE failed OR error <> '';
GRANT SELECT, INSERT, UPDATE ON process_manager TO gatewayz_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON manager_wish TO gatewayz_app;
