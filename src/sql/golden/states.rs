//! The statements that change states: of analyses and their leases, of setups, invitations,
//! sessions and sealed secrets.

use std::time::Duration;

use diesel::prelude::*;

use super::Registry;
use crate::models::analysis_lifecycle::Step;
use crate::models::setup_lifecycle::{SessionAction, StepAction};
use crate::models::*;
use crate::schema::analysis::analysis_issues;
use crate::schema::public::user_sessions;
use crate::sql::analysis_issues::SettleMatching;
use crate::sql::analysis_leases::{ClaimNext, Holder, Renew, RequeueAbandoned};
use crate::sql::analysis_lifecycle::{By, Transition};
use crate::sql::analysis_pins::{LockProject, Pin};
use crate::sql::ingest::Completion;
use crate::sql::setup_lifecycle::{AppendLog, TakeSession, TakeStep};
use crate::sql::{Sql, update_matching};
use crate::{
    AnalysisId, AnalysisType, Document, IssueSeverity, IssueStatus, Json, OrganizationId,
    OrganizationRole, SetupSessionId, SetupStepId, UserId,
};

pub(super) fn add_all(registry: &mut Registry) {
    add_lifecycles(registry);
    add_invitations(registry);
    #[cfg(feature = "crypto")]
    add_sessions(registry);
    #[cfg(feature = "crypto")]
    add_resealing(registry);
}

fn add_lifecycles(registry: &mut Registry) {
    let id = AnalysisId::new();
    let lease = Lease {
        analysis_id: id,
        worker: "worker".to_owned(),
        fence: 1,
        expires_at: chrono::Utc::now(),
    };
    let minute = Duration::from_secs(60);
    let summary = || Json::from(AnalysisSummary::default());
    registry.add(
        "claim",
        &ClaimNext::new(&[AnalysisType::ALL[0]], "worker", minute).unwrap(),
    );
    registry.add(
        "renew_lease",
        &Renew::new(&lease, minute, Some(50)).unwrap(),
    );
    registry.add("requeue_abandoned", &RequeueAbandoned::new(3).unwrap());
    registry.add("lease_holder", &Sql(Holder(id)));
    let (reason, by) = ("release 1.4", None);
    registry.add("pin_analysis", &Sql(Pin { id, reason, by }));
    registry.add("lock_project_of_analysis", &Sql(LockProject(id)));
    registry.add("complete_ingest", &Completion::new(id, summary()));
    let unresolved = analysis_issues::table
        .filter(analysis_issues::analysis_id.eq(id))
        .select(analysis_issues::id);
    registry.add(
        "settle_issues",
        &SettleMatching::new(unresolved, IssueStatus::Ignored, UserId::new()),
    );
    registry.add(
        "reopen_issues",
        &SettleMatching::new(unresolved, IssueStatus::Open, UserId::new()),
    );
    let changes = AnalysisIssueChanges::new().severity(IssueSeverity::Low);
    registry.add("update_issues", &update_matching(&changes, unresolved));
    let of_user = user_sessions::table
        .filter(user_sessions::user_id.eq(UserId::new()))
        .select(user_sessions::id);
    let changes = UserSessionChanges::new().expires_at(chrono::DateTime::UNIX_EPOCH);
    let update = update_matching(&changes, of_user).returning(user_sessions::token_hash);
    registry.add("update_user_sessions", &update);

    for (name, held, step) in [
        ("start_analysis", "start_held_analysis", Step::Start),
        (
            "progress_of_analysis",
            "progress_of_held_analysis",
            Step::Progress(50),
        ),
        (
            "complete_analysis",
            "complete_held_analysis",
            Step::Complete(summary()),
        ),
        (
            "fail_analysis",
            "fail_held_analysis",
            Step::Fail("error".to_owned()),
        ),
        ("cancel_analysis", "cancel_held_analysis", Step::Cancel),
        ("release_analysis", "release_held_analysis", Step::Release),
    ] {
        registry.add(name, &Transition::new(By::Anybody(id), &step));
        registry.add(held, &Transition::new(By::Holder(&lease), &step));
    }

    for (name, action) in [
        ("start_setup_step", StepAction::Start),
        ("complete_setup_step", StepAction::Complete),
        ("fail_setup_step", StepAction::Fail("error".to_owned())),
        ("skip_setup_step", StepAction::Skip),
        ("retry_setup_step", StepAction::Retry),
    ] {
        registry.add(name, &TakeStep::new(SetupStepId::new(), &action));
    }
    for (name, action) in [
        ("start_setup_session", SessionAction::Start),
        ("cancel_setup_session", SessionAction::Cancel),
    ] {
        registry.add(name, &TakeSession::new(SetupSessionId::new(), action));
    }
    registry.add(
        "append_setup_session_log",
        &Sql(AppendLog::Session(
            SetupSessionId::new(),
            &Document::default(),
        )),
    );
    registry.add(
        "append_setup_step_log",
        &Sql(AppendLog::Step(SetupStepId::new(), "line")),
    );
}

fn add_invitations(registry: &mut Registry) {
    use crate::sql::invitations::{
        Accept, EndInvitation, FindInvitation, Invite, OpenInvitations, PruneInvitations,
    };
    let (lab, user) = (OrganizationId::new(), UserId::new());
    let new = crate::NewInvitation::new(lab, user, OrganizationRole::Member);
    let id = new.id;
    registry.add("invite", &Invite::new(&new).unwrap());
    registry.add("accept_invitation", &Accept::new(id, user));
    registry.add("reject_invitation", &EndInvitation::rejected(id, user));
    registry.add("withdraw_invitation", &EndInvitation::withdrawn(id));
    registry.add("find_invitation", &Sql(FindInvitation(id)));
    for (name, of) in [
        ("invitations_of_user", OpenInvitations::OfUser(user)),
        (
            "invitations_of_organization",
            OpenInvitations::OfOrganization(lab),
        ),
    ] {
        registry.add(name, &Sql(of));
    }
    registry.add("prune_invitations", &Sql(PruneInvitations(10)));
}

#[cfg(feature = "crypto")]
fn add_sessions(registry: &mut Registry) {
    use crate::sql::sessions::{End, Ended, NewTokens, Open, PruneRotated, Rotate, Touch};
    let client = SessionClient::new();
    let tokens = NewTokens::new("token", "refresh", &client, &SessionPolicy::new());
    registry.add("open_session", &Open::new(UserId::new(), tokens.clone()));
    let current = Rotate::<false>::new("presented", tokens.clone());
    registry.add("rotate_session", &current);
    let predecessor = Rotate::<true>::new("presented", tokens.clone());
    registry.add("rotate_session_again", &predecessor);
    let id = crate::UserSessionId::new();
    for (name, ended) in [
        (
            "end_session_of_rotated_token",
            Ended::OfRotated("presented".to_owned()),
        ),
        ("end_session", Ended::One(id)),
        ("end_other_sessions", Ended::OthersThan(id)),
        ("end_sessions_of_user", Ended::OfUser(UserId::new())),
    ] {
        registry.add(name, &End::new(ended, &client, true));
    }
    registry.add("touch_session", &Touch::new(id, Duration::from_secs(300)));
    registry.add("prune_rotated_tokens", &Sql(PruneRotated(10)));
}

#[cfg(feature = "crypto")]
fn add_resealing(registry: &mut Registry) {
    use crate::sql::resealing::{
        CountSecrets, OtherIntegrations, OtherSettings, ReplaceIntegrations, ReplaceSettings,
    };
    registry.add("count_secrets", &Sql(CountSecrets));
    let other = OtherIntegrations {
        after: uuid::Uuid::nil().into(),
        active: 1,
        limit: 100,
    };
    registry.add("integrations_under_other_keys", &Sql(other));
    let other = OtherSettings {
        after: uuid::Uuid::nil().into(),
        active: 1,
        limit: 100,
    };
    registry.add("settings_under_other_keys", &Sql(other));
    registry.add("replace_integrations", &Sql(ReplaceIntegrations::default()));
    registry.add("replace_settings", &Sql(ReplaceSettings::default()));
}
