use super::*;
use serde_json::json;
use wundr_db::{
    Change, Error, NewOrganizationMember, NewProjectMember, OrganizationRole, Page, ProjectChanges,
    ProjectFilter, ProjectId, ProjectOrder, ProjectRole, ProjectStatus, ProjectVisibility,
    RepositoryProvider,
};

#[both_engines]
#[case]
async fn what_is_created_is_found() {
    let (db, _database) = database().await;
    let (ada, lab, other) = (
        user(&db).await.id,
        organization(&db).await.id,
        organization(&db).await.id,
    );
    let projects = db.projects();
    let url = "https://example.org/flask";
    let new = NewProject::new("Flask", ada)
        .organization_id(lab)
        .repository_url(url);
    let flask = projects.create(new.clone()).await.unwrap();

    assert_eq!(
        (flask.status, flask.visibility, flask.configuration.clone()),
        (
            ProjectStatus::Active,
            ProjectVisibility::Private,
            json!({}).into()
        )
    );
    assert_eq!(projects.find(flask.id).await.unwrap(), Some(flask.clone()));
    assert!(projects.exists(flask.id).await.unwrap());
    let absent = ProjectId::new();
    assert!(!projects.exists(absent).await.unwrap());
    let answers = projects.find_many(&[absent, flask.id]).await.unwrap();
    assert_eq!(answers, [None, Some(flask.clone())]);

    let fork = {
        let mut new = new;
        new.id = ProjectId::new();
        new
    };
    assert_eq!(
        projects
            .create_many(std::slice::from_ref(&fork))
            .await
            .unwrap(),
        1
    );
    let fork = projects.find(fork.id).await.unwrap().unwrap();
    project(&db).await;
    let both = vec![flask, fork];
    assert_eq!(projects.find_by_repository_url(url).await.unwrap(), both);
    let groups = projects.of_organizations(&[other, lab, lab]).await.unwrap();
    assert_eq!(groups, [vec![], both.clone(), both]);
}

#[both_engines]
#[case]
async fn a_refused_value_says_why() {
    let (db, _database) = database().await;
    let flask = project(&db).await;
    let projects = db.projects();
    let new = NewProject::new("Flask", flask.created_by);

    let changes = ProjectChanges::new().repository_url("git@example.org:flask");
    for refusal in [
        projects
            .create(new.clone().repository_url("ftp://example.org"))
            .await,
        projects.update(flask.id, changes).await,
    ] {
        let refusal = refusal.unwrap_err();
        assert!(matches!(refusal, Error::Check(_)), "{refusal:?}");
        assert_eq!(refusal.constraint(), Some("valid_repo_url"));
    }
    let homeless = new.clone().organization_id(OrganizationId::new());
    let refusal = projects.create(homeless).await.unwrap_err();
    assert_eq!(refusal.constraint(), Some("projects_organization_id_fkey"));
    let zero = projects.create(new.repository_data(json!(["\0"]))).await;
    assert!(matches!(zero, Err(Error::InvalidInput { field, .. }) if field == "repository_data"));
}

#[both_engines]
#[case]
async fn a_user_sees_no_more_than_is_visible() {
    let (db, _database) = database().await;
    let (lab, creator) = (organization(&db).await.id, user(&db).await.id);
    let projects = db.projects();
    for (name, visibility, status) in [
        ("private", ProjectVisibility::Private, ProjectStatus::Active),
        (
            "internal",
            ProjectVisibility::Internal,
            ProjectStatus::Archived,
        ),
        ("public", ProjectVisibility::Public, ProjectStatus::Active),
        ("deleted", ProjectVisibility::Public, ProjectStatus::Deleted),
    ] {
        let new = NewProject::new(name, creator)
            .visibility(visibility)
            .status(status);
        projects.create(new.organization_id(lab)).await.unwrap();
    }
    let mut readers = vec![(creator, vec!["internal", "private", "public"])];
    for (role, names) in [
        (
            OrganizationRole::Owner,
            vec!["internal", "private", "public"],
        ),
        (
            OrganizationRole::Admin,
            vec!["internal", "private", "public"],
        ),
        (OrganizationRole::Member, vec!["internal", "public"]),
        (OrganizationRole::Viewer, vec!["internal", "public"]),
    ] {
        let reader = user(&db).await.id;
        let member = NewOrganizationMember::new(lab, reader, role);
        db.organization_members().create(member).await.unwrap();
        readers.push((reader, names));
    }
    let (stranger, guest) = (user(&db).await.id, user(&db).await.id);
    // The owner of another organization has no access here; a project of no organization has no
    // other owner.
    let elsewhere = NewOrganizationMember::new(
        organization(&db).await.id,
        stranger,
        OrganizationRole::Owner,
    );
    db.organization_members().create(elsewhere).await.unwrap();
    projects
        .create(
            NewProject::new("homeless", user(&db).await.id).visibility(ProjectVisibility::Internal),
        )
        .await
        .unwrap();
    let private = ProjectFilter::new().visibility(ProjectVisibility::Private);
    let found = projects
        .list(&private, &Page::new())
        .await
        .unwrap()
        .items
        .remove(0);
    let member = NewProjectMember::new(found.id, guest, ProjectRole::Viewer);
    db.project_members().create(member).await.unwrap();
    readers.extend([
        (stranger, vec!["public"]),
        (guest, vec!["private", "public"]),
    ]);

    let page = Page::new().order(ProjectOrder::Name).with_total();
    for (reader, expected) in readers {
        let seen = projects
            .visible_to(reader, &ProjectFilter::new(), &page)
            .await
            .unwrap();
        let names: Vec<_> = seen.items.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, expected);
        assert_eq!(seen.total, Some(expected.len() as u64));
    }
    let archived = ProjectFilter::new().status(ProjectStatus::Archived);
    let seen = projects
        .visible_to(creator, &archived, &page.clone().limit(1))
        .await
        .unwrap();
    assert_eq!((seen.items.len(), seen.total), (1, Some(1)));
    let all = projects
        .visible_to(creator, &ProjectFilter::new(), &page.limit(2))
        .await
        .unwrap();
    let rest = Page::new()
        .order(ProjectOrder::Name)
        .after(all.next.unwrap());
    let rest = projects
        .visible_to(creator, &ProjectFilter::new(), &rest)
        .await
        .unwrap();
    assert_eq!(rest.items[0].name, "public");
}

#[both_engines]
#[case]
async fn changes_touch_what_they_name() {
    let (db, _database) = database().await;
    let flask = project(&db).await;
    let projects = db.projects();

    let changes = ProjectChanges::new()
        .repository_provider(RepositoryProvider::Github)
        .repository_url("HTTPS://example.org")
        .configuration(json!({"a": 1, "b": 1}));
    let changed = projects.update(flask.id, changes).await.unwrap();
    assert_eq!(
        (changed.name.as_str(), changed.repository_provider),
        ("Flask", Some(RepositoryProvider::Github))
    );
    let changes = ProjectChanges::new().repository_provider(Change::Clear);
    let cleared = projects.update(flask.id, changes).await.unwrap();
    assert_eq!(
        (cleared.repository_provider, cleared.repository_url),
        (None, changed.repository_url)
    );
    let merged = projects
        .merge_configuration(flask.id, json!({"b": 2}).into())
        .await
        .unwrap();
    assert_eq!(merged.configuration, json!({"a": 1, "b": 2}));
    assert!(matches!(
        projects
            .merge_configuration(flask.id, json!(1).into())
            .await,
        Err(Error::InvalidInput { .. })
    ));
    assert_eq!(merged.last_analyzed_at, None);
    let analyzed = projects.touch_last_analyzed(flask.id).await.unwrap();
    assert!(analyzed.last_analyzed_at > Some(flask.created_at));

    let stale = ProjectChanges::new()
        .name("Late")
        .unchanged_since(flask.updated_at);
    assert!(matches!(
        projects.update(flask.id, stale).await,
        Err(Error::StaleWrite { what: "Project" })
    ));
    for missing in [
        projects.touch_last_analyzed(ProjectId::new()).await,
        projects.archive(ProjectId::new()).await,
        projects
            .merge_configuration(ProjectId::new(), json!({}).into())
            .await,
    ] {
        assert!(matches!(missing, Err(Error::NotFound { what: "Project" })));
    }
}

#[both_engines]
#[case]
async fn a_project_is_put_away_and_brought_back() {
    let (db, _database) = database().await;
    let flask = project(&db).await;
    let projects = db.projects();

    assert_eq!(
        projects.archive(flask.id).await.unwrap().status,
        ProjectStatus::Archived
    );
    assert_eq!(
        projects.archive(flask.id).await.unwrap().status,
        ProjectStatus::Archived
    );
    assert_eq!(
        projects.restore(flask.id).await.unwrap().status,
        ProjectStatus::Active
    );
    assert_eq!(
        projects.soft_delete(flask.id).await.unwrap().status,
        ProjectStatus::Deleted
    );
    let refusal = projects.archive(flask.id).await.unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "Project is deleted: archive cannot take it to archived"
    );
    assert_eq!(
        projects.restore(flask.id).await.unwrap().status,
        ProjectStatus::Active
    );
}

#[both_engines]
#[case]
async fn filters_are_shared_by_list_count_and_delete() {
    let (db, _database) = database().await;
    let (lab, ada) = (organization(&db).await.id, user(&db).await.id);
    let projects = db.projects();
    for n in 0..4 {
        let new =
            NewProject::new(format!("{}", 9 - n), ada).configuration(json!({"level": n, "x": 1}));
        let new = if n < 2 {
            new.organization_id(lab).description("100%")
        } else {
            new
        };
        projects.create(new).await.unwrap();
    }
    project(&db).await;
    let of_lab = ProjectFilter::new().organization_id(lab);
    let page = Page::new().order(ProjectOrder::Name).with_total();

    let listed = projects.list(&of_lab, &page).await.unwrap();
    let names: Vec<_> = listed.items.iter().map(|row| row.name.as_str()).collect();
    assert_eq!((names, listed.total), (vec!["8", "9"], Some(2)));
    let recent = Page::new().order(ProjectOrder::RecentlyUpdated).limit(1);
    projects.soft_delete(listed.items[0].id).await.unwrap();
    let latest = projects.list(&ProjectFilter::new(), &recent).await.unwrap();
    assert_eq!(latest.items[0].name, "8");
    for (filter, expected) in [
        (ProjectFilter::new().search("0%"), 2),
        (ProjectFilter::new().created_by(ada), 4),
        (ProjectFilter::new().status(ProjectStatus::Deleted), 1),
        (
            ProjectFilter::new().configuration_contains(json!({"level": 3})),
            1,
        ),
        (
            ProjectFilter::new().updated_from(latest.items[0].updated_at),
            1,
        ),
    ] {
        assert_eq!(
            projects.count(&filter).await.unwrap(),
            expected,
            "{filter:?}"
        );
    }
    assert_eq!(projects.delete_many(&of_lab).await.unwrap(), 2);
    assert!(!projects.delete(latest.items[0].id).await.unwrap());
    assert_eq!(projects.count(&ProjectFilter::new()).await.unwrap(), 3);
}

#[both_engines]
#[case]
async fn an_update_names_what_it_sets_and_nothing_else() {
    let (db, _database) = database().await;
    let project = project(&db).await;
    let refusing = "
        CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not this'; END $$;
        CREATE TRIGGER refuse BEFORE UPDATE OF description, configuration ON public.projects
            FOR EACH ROW EXECUTE FUNCTION public.refuse();
    ";
    execute(&db, refusing).await;
    let renamed = ProjectChanges::new().name("Bottle");
    let renamed = db.projects().update(project.id, renamed).await.unwrap();
    assert_eq!(renamed.name, "Bottle");
    let described = ProjectChanges::new().name("Click").description("A library");
    assert!(db.projects().update(project.id, described).await.is_err());
    let both = ProjectChanges::new()
        .name("Jinja")
        .visibility(ProjectVisibility::Public);
    let both = both.unchanged_since(renamed.updated_at);
    let changed = db.projects().update(project.id, both).await.unwrap();
    assert_eq!(
        (changed.name.as_str(), changed.visibility),
        ("Jinja", ProjectVisibility::Public)
    );
}
