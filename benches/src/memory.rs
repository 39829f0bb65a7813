//! The memory of an ingest: the peak of a separate process, by the number of issues.
//!
//!     cargo bench --manifest-path benches/Cargo.toml --bench memory

use std::process::{Command, ExitCode};

use wundr_db::testing::migrated_database;
use wundr_db::{
    AnalysisId, AnalysisType, Db, IssueSeverity, IssueType, NewAnalysis, NewAnalysisIssue,
    NewProject, NewUser, ProjectRepository, UserRepository, blocking,
};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// The environment variable that passes a child its engine, its number of issues and its database.
const TASK: &str = "WUNDR_DB_MEMORY";

fn main() -> ExitCode {
    let outcome = match std::env::var(TASK) {
        Ok(task) => ingest(&task),
        Err(_) => compare(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn compare() -> Outcome {
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    if !words.is_empty() && !words.iter().any(|word| "memory".contains(word.as_str())) {
        return Ok(());
    }
    let is_quick = std::env::args().any(|argument| argument == "--quick")
        || !std::env::args().any(|argument| argument == "--bench");
    let numbers: &[u32] = if is_quick {
        &[1_000]
    } else {
        &[10_000, 100_000, 1_000_000]
    };
    println!("engine    issues     most memory");
    for engine in ["async", "blocking"] {
        for number in numbers {
            let database = migrated_database()?;
            let task = format!("{engine} {number} {}", database.url());
            let child = Command::new(std::env::current_exe()?)
                .env(TASK, task)
                .output()?;
            if !child.status.success() {
                return Err(String::from_utf8_lossy(&child.stderr).into());
            }
            let most = String::from_utf8(child.stdout)?;
            println!("{engine:<9} {number:>9}  {:>8} kB", most.trim());
        }
    }
    Ok(())
}

fn issues(id: AnalysisId, number: u32) -> impl Iterator<Item = NewAnalysisIssue> + Send {
    (0..number).map(move |line| {
        let (kind, severity) = (IssueType::Maintainability, IssueSeverity::Low);
        let path = format!("src/module_{}/file_{}.py", line % 97, line % 1_009);
        NewAnalysisIssue::new(id, kind, severity, format!("Line {line} is too long"), path)
            .rule_id("E501")
            .description("A line of more than 88 characters is hard to read beside another.")
            .line_number(i32::try_from(line % 2_000).unwrap_or_default() + 1)
            .code_snippet(
                "    return self.response_class(response, headers=headers, status=status)",
            )
    })
}

fn ingest(task: &str) -> Outcome {
    let mut words = task.splitn(3, ' ');
    let mut word = || words.next().ok_or("the task is incomplete");
    let (engine, number, url) = (word()?, word()?.parse()?, word()?);
    let user = NewUser::new("ada@example.org", "Ada");
    if engine == "async" {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let db = Db::connect_to(url).await?;
            let user = db.users().create(user).await?.id;
            let project = db.projects().create(NewProject::new("p", user)).await?.id;
            let new = NewAnalysis::new(project, AnalysisType::Quality, user);
            let id = new.id;
            db.analyses()
                .ingest(new)
                .issues(issues(id, number))
                .run()
                .await
        })?;
    } else {
        let db = blocking::Db::connect_to(url)?;
        let user = blocking::UserRepository::create(&db.users(), user)?.id;
        let project =
            blocking::ProjectRepository::create(&db.projects(), NewProject::new("p", user))?.id;
        let new = NewAnalysis::new(project, AnalysisType::Quality, user);
        let id = new.id;
        db.analyses().ingest(new).issues(issues(id, number)).run()?;
    }
    let status = std::fs::read_to_string("/proc/self/status")?;
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    println!(
        "{}",
        most.ok_or("the system does not report it")?
            .trim_end_matches("kB")
            .trim()
    );
    Ok(())
}
