-- What Stripe told says which object it is about, so that two processes never handle one object's events at once.
-- depends: 0098_top_ups_are_woken

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

ALTER TABLE stripe_inbox ADD COLUMN about text NOT NULL DEFAULT '';
CREATE INDEX stripe_inbox_about_idx ON stripe_inbox (about, happened_at) WHERE state = 'waiting' AND tries > 0;
