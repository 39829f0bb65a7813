use super::*;
use serde_json::json;
use wundr_db::{
    Change, Error, NewTool, Page, Platform, Tool, ToolCategory, ToolChanges, ToolFilter, ToolId,
    ToolOrder,
};

fn new(name: &str) -> NewTool {
    NewTool::new(name, ToolCategory::Runtime)
}

fn needing(name: &str, dependencies: &[&str]) -> NewTool {
    let names: Vec<String> = dependencies.iter().map(|&name| name.to_owned()).collect();
    new(name).dependencies(names)
}

fn names(tools: &[Tool]) -> Vec<&str> {
    tools.iter().map(|tool| &*tool.name).collect()
}

#[both_engines]
#[case]
async fn what_is_created_is_found() {
    let (db, _database) = database().await;
    let tools = db.tools();
    let node = tools
        .create(needing("node", &["nvm"]).supported_platforms([Platform::Linux, Platform::Macos]))
        .await
        .unwrap();

    assert_eq!(node.supported_platforms, [Platform::Linux, Platform::Macos]);
    assert_eq!(node.dependencies, Some(vec!["nvm".to_owned()]));
    let bare = tools.create(new("bare")).await.unwrap();
    assert!(bare.is_active && bare.supported_platforms.is_empty());
    assert_eq!(
        (&bare.dependencies, &bare.metadata),
        (&None, &json!({}).into())
    );
    let page = Page::new().order(ToolOrder::Name).with_total();
    let page = tools.list(&ToolFilter::new(), &page).await.unwrap();
    assert_eq!(page.items, [bare, node.clone()]);
    let answers = tools.find_many(&[ToolId::new(), node.id]).await.unwrap();
    assert_eq!(answers, [None, Some(node.clone())]);
    assert!(tools.exists(node.id).await.unwrap());
    assert_eq!(tools.find(node.id).await.unwrap(), Some(node));
}

#[both_engines]
#[case]
async fn a_column_that_is_not_given_is_left_to_the_database() {
    let (db, _database) = database().await;
    let tools = db.tools();
    assert!(tools.create(new("before")).await.unwrap().is_active);
    let default = "ALTER TABLE setup.tools ALTER COLUMN is_active SET DEFAULT false";
    execute(&db, default).await;

    assert!(!tools.create(new("after")).await.unwrap().is_active);
    let given = new("given").is_active(true);
    assert!(tools.create(given).await.unwrap().is_active);
    let whole = new("whole").is_active(true).metadata(json!({"a": 1}));
    let whole = whole.supported_platforms([Platform::Linux]);
    let whole = tools.create(whole).await.unwrap();
    assert_eq!(whole.supported_platforms, [Platform::Linux]);
    assert!(!tools.create(new("again")).await.unwrap().is_active);
}

#[both_engines]
#[case]
async fn many_tools_keep_their_lists_whatever_is_in_them() {
    let (db, _database) = database().await;
    let tools = db.tools();
    let odd = [
        "plain",
        "",
        "NULL",
        "a,b",
        "{}",
        r#"say "hi""#,
        r"C:\",
        "zwölf",
    ];
    let platforms = [Platform::Docker, Platform::Windows];
    let mut many: Vec<_> = (0..12_000).map(|n| new(&n.to_string())).collect();
    many.push(needing("odd", &odd).supported_platforms(platforms));
    many.push(needing("empty", &[]));
    many.push(new("wide").version("v".repeat(101)));

    let refusal = tools.create_many(&many).await.unwrap_err();
    assert!(matches!(refusal, Error::InvalidInput { field, .. } if field == "version"));
    many.pop();
    many.push(new("0").id(many[0].id));
    assert!(matches!(
        tools.create_many(&many).await,
        Err(Error::Unique(_))
    ));
    assert_eq!(tools.count(&ToolFilter::new()).await.unwrap(), 0);
    many.pop();
    assert_eq!(tools.create_many(&many).await.unwrap(), 12_002);

    let stored = tools.find_newest("odd").await.unwrap().unwrap();
    assert_eq!(stored.dependencies.as_deref().unwrap(), odd);
    assert_eq!(stored.supported_platforms, platforms);
    let empty = tools.find_newest("empty").await.unwrap().unwrap();
    assert_eq!(empty.dependencies, Some(vec![]));
    let first = tools.find_newest("0").await.unwrap().unwrap();
    assert_eq!(
        (first.dependencies, first.supported_platforms),
        (None, vec![])
    );
}

#[both_engines]
#[case]
async fn a_tool_is_found_by_name_and_version() {
    let (db, _database) = database().await;
    let tools = db.tools();
    let unversioned = tools.create(new("node")).await.unwrap();
    let old = tools.create(new("node").version("20")).await.unwrap();
    let retired = tools
        .create(new("node").version("22").is_active(false))
        .await
        .unwrap();
    let twin = tools.create(new("node").version("20")).await.unwrap();

    let found = async |version| {
        let tool = tools.find_by_name_and_version("node", version).await;
        tool.unwrap().map(|tool| tool.id)
    };
    assert_eq!(found(None).await, Some(unversioned.id));
    assert_eq!(found(Some("22")).await, Some(retired.id));
    assert_eq!(found(Some("20")).await, Some(twin.id));
    assert_eq!(found(Some("18")).await, None);
    assert_eq!(tools.find_newest("node").await.unwrap(), Some(twin.clone()));
    tools.delete(twin.id).await.unwrap();
    assert_eq!(tools.find_newest("node").await.unwrap(), Some(old));
    assert_eq!(tools.find_newest("deno").await.unwrap(), None);
}

#[both_engines]
#[case]
async fn changes_touch_what_they_name() {
    let (db, _database) = database().await;
    let tools = db.tools();
    let node = tools
        .create(needing("node", &["nvm"]).version("20"))
        .await
        .unwrap();

    let changes = ToolChanges::new().supported_platforms([Platform::Linux]);
    let changed = tools.update(node.id, changes).await.unwrap();
    assert_eq!(changed.supported_platforms, [Platform::Linux]);
    assert_eq!(
        (&changed.dependencies, changed.version.as_deref()),
        (&node.dependencies, Some("20"))
    );
    let changes = ToolChanges::new()
        .dependencies(vec!["fnm".to_owned()])
        .version(Change::Clear);
    let changed = tools.update(node.id, changes).await.unwrap();
    assert_eq!(changed.dependencies, Some(vec!["fnm".to_owned()]));
    assert_eq!(changed.version, None);
    let stale = ToolChanges::new()
        .is_active(false)
        .unchanged_since(node.updated_at);
    assert!(matches!(
        tools.update(node.id, stale).await,
        Err(Error::StaleWrite { what: "Tool" })
    ));
}

#[both_engines]
#[case]
async fn filters_are_shared_by_list_count_and_delete() {
    let (db, _database) = database().await;
    let tools = db.tools();
    let editor = NewTool::new("vim", ToolCategory::Editor).description("An editor");
    tools
        .create_many(&[
            new("b").supported_platforms([Platform::Linux, Platform::Docker]),
            new("a").supported_platforms([Platform::Linux]),
            new("c")
                .supported_platforms([Platform::Macos])
                .is_active(false),
            editor,
        ])
        .await
        .unwrap();
    let linux = ToolFilter::new().platform(Platform::Linux);
    let page = Page::new().order(ToolOrder::Name).with_total();

    let listed = tools.list(&linux, &page).await.unwrap();
    assert_eq!(
        (names(&listed.items), listed.total),
        (vec!["a", "b"], Some(2))
    );
    for (filter, count) in [
        (ToolFilter::new().platform(Platform::Docker), 1),
        (ToolFilter::new().category(ToolCategory::Editor), 1),
        (ToolFilter::new().is_active(true), 3),
        (ToolFilter::new().name("a"), 1),
        (ToolFilter::new().search("EDIT"), 1),
    ] {
        assert_eq!(tools.count(&filter).await.unwrap(), count, "{filter:?}");
    }
    assert_eq!(tools.delete_many(&linux).await.unwrap(), 2);
    assert_eq!(tools.count(&ToolFilter::new()).await.unwrap(), 2);
}

#[both_engines]
#[case]
async fn tools_are_installed_after_what_they_need() {
    let (db, _database) = database().await;
    let tools = db.tools();
    // Superseded and retired rows must not be taken.
    tools.create(needing("node", &["lost"])).await.unwrap();
    tools
        .create_many(&[
            needing("next", &["react", "node"]),
            needing("react", &["node"]),
            needing("node", &["curl"]),
            new("curl"),
            new("git"),
            needing("git", &["lost"]).is_active(false),
            new("unasked"),
        ])
        .await
        .unwrap();

    let order = tools.install_order(&["git", "next"]).await.unwrap();
    assert_eq!(names(&order), ["git", "curl", "node", "react", "next"]);
    assert_eq!(tools.install_order(&[]).await.unwrap(), []);

    let message = async |names: &[&str]| tools.install_order(names).await.unwrap_err().to_string();
    tools
        .create_many(&[
            needing("a", &["b"]),
            needing("b", &["a"]),
            needing("x", &["y"]),
        ])
        .await
        .unwrap();
    assert_eq!(
        message(&["git", "a"]).await,
        "dependencies: form a cycle: a > b > a"
    );
    assert_eq!(
        message(&["x"]).await,
        "dependencies: x needs y, which is not an active tool"
    );
    assert_eq!(message(&["z"]).await, "names: z is not an active tool");
}
