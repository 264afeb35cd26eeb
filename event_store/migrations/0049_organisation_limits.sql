-- An organisation can have rate limits too.
-- depends: 0048_organisation

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE rate_limit DROP CONSTRAINT rate_limit_scope_check,
  ADD CONSTRAINT rate_limit_scope_check CHECK (scope IN ('key', 'user', 'organisation', 'system'));
