-- Customers' statements that were issued: numbered without gaps by each issuer, once for a month.
-- depends: 0077_trial_person

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE statement_issuer (
  issuer text PRIMARY KEY,
  last_number bigint NOT NULL DEFAULT 0 CHECK (last_number >= 0)
);
CREATE TABLE issued_statement (
  issuer text NOT NULL REFERENCES statement_issuer,
  number bigint NOT NULL CHECK (number > 0),
  account_id uuid NOT NULL,
  month text NOT NULL,
  zone text NOT NULL,
  begins timestamptz NOT NULL,
  ends timestamptz NOT NULL CHECK (ends > begins),
  issued_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  issued_by text NOT NULL,
  PRIMARY KEY (issuer, number),
  UNIQUE (issuer, account_id, month)
);
CREATE INDEX issued_statement_account_id_idx ON issued_statement (account_id, number);
GRANT SELECT, INSERT, UPDATE ON statement_issuer TO gatewayz_app;
GRANT SELECT, INSERT ON issued_statement TO gatewayz_app;
