-- What each account's calls cost in a day that nobody paid, by all processes: a limit, not money.
-- depends: 0032_prune_keys

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE house_loss_of_day (
  day date,
  account_id uuid,
  nano_usd bigint NOT NULL,
  PRIMARY KEY (day, account_id)
) WITH (fillfactor = 50);
GRANT SELECT, INSERT, UPDATE, DELETE ON house_loss_of_day TO gatewayz_app;
