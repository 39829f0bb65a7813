-- in_months
-- ()
SELECT "audit"."audit_logs"."id"
FROM "audit"."audit_logs"
WHERE "audit"."audit_logs"."created_at" >= TIMESTAMP WITH TIME ZONE '2024-01-01 00:00:00+00'
AND "audit"."audit_logs"."created_at" < TIMESTAMP WITH TIME ZONE '2024-03-01 00:00:00+00'
