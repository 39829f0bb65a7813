-- user_sessions.create_many
-- (uuid[], uuid[], text[], text[], timestamptz[], text[], inet[])
INSERT INTO "public"."user_sessions" ("id", "user_id", "token_hash", "refresh_token_hash", "expires_at",
    "user_agent", "ip_address")
SELECT "new"."id", "new"."user_id", "new"."token_hash", "new"."refresh_token_hash", "new"."expires_at", "new"."user_agent",
    "new"."ip_address"
FROM UNNEST($1, $2, $3, $4, $5, $6, $7) AS "new" ("id", "user_id", "token_hash", "refresh_token_hash",
    "expires_at", "user_agent", "ip_address")
