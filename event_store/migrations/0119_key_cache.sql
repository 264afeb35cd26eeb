-- What a key says of the cache for its calls; null where it says nothing.
-- depends: 0113_provider_key

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE api_key ADD COLUMN cache jsonb;
