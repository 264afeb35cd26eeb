-- Mails that are not handed over yet, encrypted. Who sends one first leases it: it is due later then.
-- depends: 0049_organisation_limits

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE mail_outbox (
  mail_id uuid PRIMARY KEY,
  user_id uuid,
  kind text NOT NULL,
  sealed bytea NOT NULL,
  tries integer NOT NULL DEFAULT 0,
  made_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  due_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX mail_outbox_due_at_idx ON mail_outbox (due_at);
CREATE INDEX mail_outbox_user_id_idx ON mail_outbox (user_id);
GRANT SELECT, INSERT, UPDATE, DELETE ON mail_outbox TO gatewayz_app;
