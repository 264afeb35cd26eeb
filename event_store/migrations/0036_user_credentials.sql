-- What a user signs in with: sealed with the user's data key, so that destroying it destroys all.
-- depends: 0035_losses_counted

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE user_secret
  ADD COLUMN username_hash bytea UNIQUE,
  ADD COLUMN sealed_password bytea,
  ADD COLUMN email_verified boolean NOT NULL DEFAULT false;
