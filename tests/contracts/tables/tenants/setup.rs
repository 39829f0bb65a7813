//! Profiles, settings, integrations, and the audit log.

use super::*;

#[both_engines]
pub(super) async fn setup(db: &Db, out: &mut Outcomes, mine: &Tenant, theirs: &Tenant) {
    let (of_lab, user, project) = (theirs.organization, theirs.user, theirs.project);
    let ids = [of_lab];
    common!(
        out,
        db,
        setup_profiles,
        SetupProfileFilter,
        mine.profile,
        theirs.profile,
        SetupProfileChanges::new().name("x"),
        NewSetupProfile::new("x", SetupCategory::Custom, mine.user).organization_id(of_lab)
    );
    let filter = SetupProfileFilter::new();
    outcome!(
        out,
        db.setup_profiles().visible_to(user, &filter, &Page::new())
    );
    outcome!(out, db.setup_profiles().featured(&Page::new()));
    outcome!(
        out,
        db.setup_profiles()
            .list_of_organizations(&ids, &filter, &Page::new())
    );
    outcome!(
        out,
        db.setup_profiles()
            .list_of_users(&[user], &filter, &Page::new())
    );

    let general = ConfigCategory::General;
    let new = || NewConfiguration::new(of_lab, general, "x", 1, mine.user);
    common!(
        out,
        db,
        configurations,
        ConfigurationFilter,
        mine.setting,
        theirs.setting,
        ConfigurationChanges::new().name("x"),
        new()
    );
    let filter = ConfigurationFilter::new();
    outcome!(out, db.configurations().upsert(new()));
    outcome!(
        out,
        db.configurations()
            .find_by_name(of_lab.into(), general, "a")
    );
    outcome!(
        out,
        db.configurations().effective(of_lab.into(), general, "a")
    );
    outcome!(
        out,
        db.configurations().effective(project.into(), general, "a")
    );
    outcome!(out, db.configurations().effective_all(of_lab.into(), None));
    outcome!(
        out,
        db.configurations()
            .list_of_organizations(&ids, &filter, &Page::new())
    );
    outcome!(
        out,
        db.configurations()
            .list_of_projects(&[project], &filter, &Page::new())
    );
    outcome!(
        out,
        db.configurations()
            .set(of_lab.into(), general, "a", json!(2).into(), mine.user)
    );

    let github = IntegrationType::Github;
    let new = || NewIntegration::new(github, "x", mine.user).organization_id(of_lab);
    common!(
        out,
        db,
        integrations,
        IntegrationFilter,
        mine.integration,
        theirs.integration,
        IntegrationChanges::new().name("x"),
        new()
    );
    let filter = IntegrationFilter::new();
    outcome!(
        out,
        db.integrations()
            .list_of_organizations(&ids, &filter, &Page::new())
    );
    outcome!(
        out,
        db.integrations()
            .list_of_projects(&[project], &filter, &Page::new())
    );
    outcome!(
        out,
        db.integrations().set_enabled(theirs.integration, false)
    );
    outcome!(
        out,
        db.integrations()
            .record_sync(theirs.integration, SyncStatus::Success)
    );

    let (filter, entry) = (AuditLogFilter::new(), theirs.entry);
    let new = || NewAuditLog::new(AuditAction::Create, "x").organization_id(of_lab);
    outcome!(out, db.audit_logs().find(entry));
    outcome!(out, db.audit_logs().find_many(&[entry, mine.entry]));
    outcome!(out, db.audit_logs().exists(entry));
    outcome!(
        out,
        db.audit_logs().list(&filter, &Page::new().with_total())
    );
    outcome!(
        out,
        db.audit_logs()
            .list_of_organizations(&ids, &filter, &Page::new())
    );
    outcome!(
        out,
        db.audit_logs()
            .list_of_users(&[user], &filter, &Page::new())
    );
    outcome!(out, db.audit_logs().count(&filter));
    outcome!(out, db.audit_logs().create(new()));
    outcome!(out, db.audit_logs().create_many(&[new()]));
    // Only the owner of the log seals it.
    let day = chrono::NaiveDate::from_ymd_opt(2025, 1, 1).unwrap();
    outcome!(out, db.audit_logs().seal(day));
    outcome!(out, db.audit_logs().verify(day));
}
