-- Serves pages of an organization's audit trail, newest first.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_audit_logs_org_created_id
  ON audit.audit_logs (organization_id, created_at DESC, id DESC);
