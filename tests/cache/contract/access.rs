use super::*;

/// Looks up until the cache answers, by one command alone.
#[both_engines]
macro_rules! is_answered_by_one_command {
    ($pair:ident, $turnstile:ident, $hits:expr, $call:expr) => {{
        let began = std::time::Instant::now();
        loop {
            $turnstile.group(1);
            let hits = $pair.other.metrics().hits;
            $call.await.unwrap();
            if $pair.other.metrics().hits == hits + $hits && $turnstile.sent() == 1 {
                break;
            }
            assert!(began.elapsed() < Duration::from_secs(30));
        }
    }};
}

#[both_engines]
#[case]
async fn an_access_is_read_by_one_command() {
    let redis = RedisServer::builder().listen_tcp().start().unwrap();
    let turnstile = Turnstile::before(&redis);
    let pair = pair(servers::of(&turnstile.url())).await;
    let (ada, eve) = (user(&pair.one).await.id, user(&pair.one).await.id);
    let lab = NewOrganization::new("Lab", "lab");
    let lab = pair.one.organizations().create(lab).await.unwrap().id;
    let mut projects = Vec::new();
    for name in ["a", "b", "c"] {
        let new = NewProject::new(name, ada).organization_id(lab);
        projects.push(pair.one.projects().create(new).await.unwrap().id);
    }
    let member = NewOrganizationMember::new(lab, eve, OrganizationRole::Owner);
    pair.one
        .organization_members()
        .create(member)
        .await
        .unwrap();
    let repository = pair.other.projects();
    is_answered_by_one_command!(pair, turnstile, 2, repository.access(eve, projects[0]));
    is_answered_by_one_command!(pair, turnstile, 4, repository.access_many(eve, &projects));
    let organizations = pair.other.organizations();
    is_answered_by_one_command!(pair, turnstile, 2, organizations.access(eve, lab));
    // And it follows a removal from the moment at which that is acknowledged.
    let access = repository.access_many(eve, &projects).await.unwrap();
    assert!(access.iter().all(Option::is_some));
    pair.one.users().set_active(eve, false).await.unwrap();
    assert_eq!(
        repository.access_many(eve, &projects).await.unwrap(),
        [None; 3]
    );
    assert_eq!(organizations.access(eve, lab).await.unwrap(), None);
}
