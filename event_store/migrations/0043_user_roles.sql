-- Inline state: the roles of users who have or had another than that of a user, and where in the log they last
-- changed: that is what gateways ask for, who may have missed a notice. The last admin stays.
-- depends: 0042_sealed_api_key

SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE user_role (
  user_id uuid PRIMARY KEY,
  role text NOT NULL,
  position bigint NOT NULL
);
CREATE INDEX user_role_role_idx ON user_role (role, user_id);
CREATE INDEX user_role_position_idx ON user_role (position);
GRANT SELECT, INSERT, UPDATE ON user_role TO gatewayz_app;

-- Two who demote each other at one instant have each seen two admins. Whoever writes holds the append
-- lock, so the second one sees here what the first has done.
CREATE FUNCTION last_admin_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM user_role WHERE role = 'admin') THEN
    RAISE EXCEPTION 'the last admin stays one' USING
      ERRCODE = 'check_violation', CONSTRAINT = 'user_role_last_admin', TABLE = 'user_role';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER last_admin_stays AFTER UPDATE ON user_role FOR EACH ROW
  WHEN (OLD.role = 'admin' AND NEW.role <> 'admin') EXECUTE FUNCTION last_admin_stays();
