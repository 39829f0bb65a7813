use super::*;
use chrono::{TimeDelta, Utc};
use serde_json::json;
use wundr_db::{
    Actor, AuditAction, AuditLogFilter, AuditLogOrder, Document, InvitationId, LogLevel,
    NewAuditLog, NewInvitation, NewOrganization, NewOrganizationMember, NewSystemLog,
    NewUserSession, OrganizationChanges, OrganizationFilter, OrganizationId,
    OrganizationMemberChanges, OrganizationMemberFilter, OrganizationMemberId, OrganizationOrder,
    OrganizationRole, SubscriptionPlan, SystemLogFilter, SystemLogOrder, User, UserChanges,
    UserFilter, UserOrder, UserRole, UserSessionChanges, UserSessionFilter, UserSessionId,
    UserSessionOrder,
};

#[both_engines]
#[case]
async fn users() {
    let ledger = ledger().await;
    let now = Utc::now();
    let id = every_repository!(
        ledger, users, new_user(), UserFilter,
        [role(UserRole::Developer), is_active(true), email_verified(false), search("a"),
         created_from(now), created_before(now)],
        UserOrder[Newest, Oldest, Name, Email]
    );
    every_writable_repository!(
        ledger,
        users,
        id,
        UserChanges::new().name("Grace"),
        UserFilter::new().search("nobody"),
        UserId::new()
    );
    let users = ledger.db.users();
    costs!(
        ledger,
        1,
        users.upsert(NewUser::new("ada@example.org", "Ada"))
    );
    costs!(ledger, 1, users.find_by_email("ada@example.org"));
    costs!(ledger, 1, users.find_by_github_username("ada"));
    costs!(ledger, 1, users.set_active(id, true));
    costs!(ledger, 1, users.touch_last_login(id));
    costs!(
        ledger,
        1,
        users.merge_preferences(id, json!({"theme": "dark"}).into())
    );

    ledger.settle();
}

#[both_engines]
#[case]
async fn sessions_of_users() {
    let ledger = ledger().await;
    let now = Utc::now();
    let id = ledger.db.users().create(new_user()).await.unwrap().id;
    let session = || NewUserSession::new(id, unique(), now + TimeDelta::days(1));
    let session_id = every_repository!(
        ledger, user_sessions, session(), UserSessionFilter,
        [user_id(id), other_than(UserSessionId::new()), is_expired(false), expires_from(now), expires_before(now),
         used_from(now), used_before(now)],
        UserSessionOrder[Newest, Oldest, RecentlyUsed, ExpiringSoonest]
    );
    every_writable_repository!(
        ledger,
        user_sessions,
        session_id,
        UserSessionChanges::new().user_agent("x".to_owned()),
        UserSessionFilter::new().is_expired(true),
        UserSessionId::new()
    );
    let sessions = ledger.db.user_sessions();
    costs!(ledger, 1, sessions.find_by_token_hash("x"));
    costs!(ledger, 1, sessions.find_by_refresh_token_hash("x"));
    costs!(ledger, 1, sessions.of_users(&[id]));
    costs!(ledger, 1, sessions.touch(session_id));
    costs!(ledger, 1, sessions.delete_expired(10));
    costs!(ledger, 1, sessions.delete_for_user(UserId::new()));
    ledger.settle();
}

#[both_engines]
#[case]
async fn organizations_and_their_members() {
    let ledger = ledger().await;
    let now = Utc::now();
    let id = every_repository!(
        ledger, organizations, NewOrganization::new("Lab", unique()), OrganizationFilter,
        [subscription_plan(SubscriptionPlan::Free), search("a"), created_from(now), created_before(now)],
        OrganizationOrder[Newest, Oldest, Name, Slug, RecentlyUpdated]
    );
    every_writable_repository!(
        ledger,
        organizations,
        id,
        OrganizationChanges::new().name("Lab"),
        OrganizationFilter::new().search("none"),
        OrganizationId::new()
    );
    let organizations = ledger.db.organizations();
    let user = ledger.db.users().create(new_user()).await.unwrap().id;
    costs!(
        ledger,
        1,
        organizations.upsert(NewOrganization::new("Lab", "lab"))
    );
    costs!(ledger, 1, organizations.find_by_slug("lab"));
    costs!(ledger, 1, organizations.of_user(user));
    costs!(ledger, 1, organizations.access(user, id));
    costs!(
        ledger,
        1,
        organizations.change_plan(id, SubscriptionPlan::Free)
    );
    costs!(
        ledger,
        1,
        organizations.merge_settings(id, json!({"a": 1}).into())
    );

    let members = ledger.db.organization_members();
    let member = || NewOrganizationMember::new(id, user, OrganizationRole::Member);
    let member_id = members.create(member()).await.unwrap().id;
    costs!(ledger, 1, members.upsert(member()));
    costs!(ledger, 1, members.find(member_id));
    costs!(ledger, 1, members.role_of(id, user));
    costs!(ledger, 1, members.of_organizations(&[id]));
    costs!(
        ledger,
        1,
        members.list(
            &OrganizationMemberFilter::new().organization_id(id),
            &Page::new()
        )
    );
    costs!(
        ledger,
        1,
        members.update(
            member_id,
            OrganizationMemberChanges::new().role(OrganizationRole::Member)
        )
    );
    costs!(
        ledger,
        1,
        members.change_role(id, user, OrganizationRole::Member)
    );
    costs!(ledger, 2, members.remove(id, UserId::new()));
    costs!(ledger, 2, members.delete(OrganizationMemberId::new()));
    costs!(
        ledger,
        1,
        members.delete_many(&OrganizationMemberFilter::new().user_id(UserId::new()))
    );
    ledger.settle();
}

#[both_engines]
#[case]
async fn logs() {
    let ledger = ledger().await;
    let now = Utc::now();
    let user = ledger.db.users().create(new_user()).await.unwrap().id;
    every_repository!(
        ledger, audit_logs, NewAuditLog::new(AuditAction::Create, "project"), AuditLogFilter,
        [user_id(user), organization_id(OrganizationId::new()), actions(vec![AuditAction::Create]),
         resource_type("project"), resource_id(*user.as_uuid()), created_from(now), created_before(now)],
        AuditLogOrder[Newest, Oldest]
    );
    let logs = ledger.db.audit_logs();
    let months = std::sync::atomic::AtomicU32::new(0);
    let another = || {
        let month = months.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        chrono::NaiveDate::default() + chrono::Months::new(month)
    };
    costs!(ledger, 6, logs.seal(another()));
    costs!(ledger, 5, logs.verify(chrono::NaiveDate::default()));
    every_repository!(
        ledger, system_logs, NewSystemLog::new(LogLevel::Info, "api", "started"), SystemLogFilter,
        [level(LogLevel::Info), at_least(LogLevel::Info), service("api"), component("db"),
         correlation_id(*user.as_uuid()), request_id(*user.as_uuid()), user_id(user), search("a"),
         created_from(now), created_before(now)],
        SystemLogOrder[Newest, Oldest]
    );
    ledger.settle();
}

/// A plan for a month that is known costs more than the page, and grows with the log.
#[both_engines]
#[case]
async fn a_week_of_a_log_is_planned_a_few_times_only() {
    let ledger = ledger().await;
    let (logs, page) = (ledger.db.audit_logs(), Page::new().limit(50));
    let week = AuditLogFilter::new().created_from(Utc::now() - TimeDelta::days(7));
    for _ in 0..20 {
        logs.list(&week, &page).await.unwrap();
    }
    let plans = "SELECT COALESCE(string_agg(custom_plans || ', ' || generic_plans, '; '), '') AS names \
                 FROM pg_prepared_statements WHERE statement LIKE '%audit_logs%LIMIT 51'";
    assert_eq!(ask(&ledger.db, plans).await, "5, 15");
}

/// A transaction with three statements.
#[both_engines]
async fn transaction(db: &Db, id: UserId) -> Result<User> {
    db.transaction(async |tx| -> Result<User> {
        tx.users().find(id).await?;
        tx.users().count(&UserFilter::new()).await?;
        tx.users().set_active(id, true).await
    })
    .await
}

#[both_engines]
#[case]
async fn a_transaction_takes_two_turns_more_than_its_statements() {
    let ledger = ledger().await;
    let id = ledger.db.users().create(new_user()).await.unwrap().id;
    costs!(ledger, 5, transaction(&ledger.db, id));
    costs!(ledger, 1, ledger.db.health());
    costs!(ledger, 1, ledger.db.queue_state());
    ledger.settle();
}

#[both_engines]
#[case]
async fn invitations() {
    let ledger = ledger().await;
    let eve = ledger.db.users().create(new_user()).await.unwrap().id;
    let lab = NewOrganization::new("Lab", unique());
    let lab = ledger.db.organizations().create(lab).await.unwrap().id;
    let new = || NewInvitation::new(lab, eve, OrganizationRole::Member);
    let invitations = ledger.db.invitations();
    let invited = invitations.invite(new()).await.unwrap().unwrap();
    costs!(ledger, 1, invitations.invite(new()));
    costs!(ledger, 1, invitations.find(invited.id));
    costs!(ledger, 1, invitations.of_user(eve));
    costs!(ledger, 1, invitations.of_organization(lab));
    costs!(ledger, 1, invitations.accept(InvitationId::new(), eve));
    costs!(ledger, 1, invitations.reject(InvitationId::new(), eve));
    costs!(ledger, 1, invitations.withdraw(InvitationId::new()));
    costs!(ledger, 1, invitations.delete_expired(10));
    let member = invitations.accept(invited.id, eve).await.unwrap();
    assert_eq!(member.unwrap().user_id, eve);
    ledger.settle();
}

#[both_engines]
#[case]
async fn an_actor_and_an_organization_take_no_round_trip() {
    let ledger = ledger().await;
    let id = ledger.db.users().create(new_user()).await.unwrap().id;
    let lab = NewOrganization::new("Lab", unique());
    let lab = ledger.db.organizations().create(lab).await.unwrap().id;
    let actor = Actor {
        user: Some(id),
        ..Actor::default()
    };
    let of_lab = ledger.db.for_organization(lab);
    let acting = ledger.db.acting_as(actor.clone());
    let both = of_lab.acting_as(actor);
    let rename = || UserChanges::new().name(unique());
    let none = UserFilter::new().search("no user has this name");
    let document = || Document::from(json!({}));
    for db in [&of_lab, &acting, &both] {
        costs!(ledger, 1, db.users().find(id));
        costs!(ledger, 1, db.users().list(&none, &Page::new()));
        costs!(ledger, 1, db.users().count(&none));
        costs!(ledger, 1, db.users().create(new_user()));
        costs!(ledger, 1, db.users().create_many(&[new_user(), new_user()]));
        costs!(ledger, 1, db.users().update(id, rename()));
        costs!(ledger, 1, db.users().delete_many(&none));
        costs!(
            ledger,
            1,
            db.organizations().merge_settings(lab, document())
        );
    }
    ledger.settle();
}
