//! Loading a hundred thousand issues of ten analyses into an empty table with all its keys and
//! indexes.

use std::cell::RefCell;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;

use diesel::PgConnection;
use diesel::connection::SimpleConnection as _;
use futures_util::pin_mut;
use sea_orm::{
    ActiveModelTrait as _, EntityTrait as _, IntoActiveModel as _, TransactionTrait as _,
};
use sqlx::PgPool;
use tokio_postgres::Client;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::Type;
use wundr_db::testing::PostgresServer;
use wundr_db::{AnalysisIssueRepository as _, NewAnalysisIssue, blocking};

use super::platform::{V7, ids, issue, new_issue};
use super::writes::parameters;
use crate::Outcome;
use crate::database::{Connector, World};
use crate::measure::Group;
use crate::rows::issues;

const ROWS: usize = 100_000;
const ANALYSES: usize = 10;

/// Drops the indexes of the issues that the design does not have.
const WITHOUT_OUR_INDEXES: &str = "DROP INDEX analysis.idx_analysis_issues_analysis_severity_id, \
     analysis.idx_analysis_issues_file_path_prefix, \
     analysis.idx_analysis_issues_resolved_created_id";

pub fn bulk_100k_issues(world: &mut World) -> Outcome<Group> {
    let to = world.migrated("bulk", |connection| {
        connection.batch_execute(V7)?;
        Ok(connection.batch_execute(include_str!("../../data/platform.sql"))?)
    })?;
    let mut connection = to.diesel()?;
    let analyses = ids(
        &mut connection,
        "SELECT id FROM analysis.analyses ORDER BY id",
    )?;
    let rows: Arc<[issues::Model]> = (0..ROWS)
        .map(|number| issue(analyses[number * ANALYSES / ROWS], number))
        .collect();
    let new: Arc<[NewAnalysisIssue]> = rows.iter().map(new_issue).collect();

    let mut group = Group::new("bulk_100k_issues", "psql_copy", 7, 1);
    let client = to.tokio_postgres(&world.runtime)?;
    let types: Arc<[Type]> = world.runtime.block_on(types(&client))?.into();
    world
        .runtime
        .block_on(copy_binary(&client, &types, &rows))?;
    let file = to.file(world.server(), "issues");
    let table = format!("analysis.analysis_issues ({})", issues::COLUMNS);
    psql(
        world.server(),
        &to,
        &[format!("\\copy {table} TO '{}'", file.display())],
    )()?;
    group.call(
        "psql_copy",
        psql(
            world.server(),
            &to,
            &[format!("\\copy {table} FROM '{}'", file.display())],
        ),
        |copy, _| copy,
    );
    // The same rows, into the indexes that the design has.
    let designed = world.migrated("bulk_design", |connection| {
        connection.batch_execute(V7)?;
        connection.batch_execute(include_str!("../../data/platform.sql"))?;
        Ok(connection.batch_execute(WITHOUT_OUR_INDEXES)?)
    })?;
    group.call(
        "psql_copy_design",
        psql(
            world.server(),
            &designed,
            &[format!("\\copy {table} FROM '{}'", file.display())],
        ),
        |copy, _| copy,
    );
    let halves = ["first_half", "second_half"].map(|half| to.file(world.server(), half));
    let half = |offset: usize| {
        let columns = issues::COLUMNS;
        format!(
            "SELECT {columns} FROM analysis.analysis_issues ORDER BY id OFFSET {offset} LIMIT {}",
            ROWS / 2
        )
    };
    let [first, second] = halves.each_ref().map(|file| file.display());
    let commands = [
        format!("\\copy ({}) TO '{first}'", half(0)),
        format!("\\copy ({}) TO '{second}'", half(ROWS / 2)),
    ];
    psql(world.server(), &to, &commands)()?;
    let copies = [first, second].map(|file| format!("\\copy {table} FROM '{file}'"));
    group.call(
        "psql_copy_2",
        concurrently(copies.map(|copy| psql_command(world.server(), &to, &[copy]))),
        |copies, _| copies,
    );
    group.task(
        "tokio_postgres",
        (client, types, rows.clone()),
        |(client, types, rows), _| async move { copy_binary(&client, &types, &rows).await },
    );
    group.task(
        "wundr_async",
        (to.wundr_async()?, new.clone()),
        |(db, new), _| async move {
            assert_eq!(db.analysis_issues().create_many(&new).await?, ROWS as u64);
            Ok(())
        },
    );
    group.task(
        "wundr_async_2",
        (to.wundr_async()?, new.clone()),
        |(db, new), _| async move {
            let other = tokio::spawn({
                let (db, new) = (db.clone(), new.clone());
                async move { db.analysis_issues().create_many(&new[..ROWS / 2]).await }
            });
            let one = db.analysis_issues().create_many(&new[ROWS / 2..]).await?;
            assert_eq!(one + other.await??, ROWS as u64);
            Ok(())
        },
    );
    group.call(
        "wundr_blocking",
        (to.wundr_blocking()?, new),
        |(db, new), _| {
            move || {
                let written =
                    blocking::AnalysisIssueRepository::create_many(&db.analysis_issues(), &new)?;
                assert_eq!(written, ROWS as u64);
                Ok(())
            }
        },
    );
    group.task(
        "sqlx",
        (to.sqlx(&world.runtime)?, rows.clone()),
        |(pool, rows), _| async move { unnest(&pool, &rows).await },
    );
    group.task(
        "sea_orm",
        (to.sea_orm(&world.runtime)?, rows),
        |(db, rows), _| {
            // A statement has at most 65,535 parameters.
            let chunks: Vec<Vec<_>> = rows
                .chunks(65_535 / 19)
                .map(|rows| {
                    rows.iter()
                        .map(|row| row.clone().into_active_model().reset_all())
                        .collect()
                })
                .collect();
            async move {
                let transaction = db.begin().await?;
                for chunk in chunks {
                    issues::Entity::insert_many(chunk)
                        .exec_without_returning(&transaction)
                        .await?;
                }
                Ok(transaction.commit().await?)
            }
        },
    );
    let connections = Rc::new(RefCell::new([connection, designed.diesel()?]));
    group.restoring(move || {
        for connection in connections.borrow_mut().iter_mut() {
            empty(connection, "analysis.analysis_issues")?;
        }
        Ok(())
    });
    Ok(group)
}

/// Empties tables, with a checkpoint, so that none happens during the next sample.
pub fn empty(connection: &mut PgConnection, tables: &str) -> Outcome {
    Ok(connection.batch_execute(&format!("TRUNCATE {tables}; CHECKPOINT"))?)
}

impl Connector {
    /// Returns a path that psql can write to, next to the server's socket.
    pub fn file(&self, server: &PostgresServer, name: &str) -> PathBuf {
        server.socket_dir().join(format!("{name}.copy"))
    }
}

/// Runs commands by psql in one transaction.
pub fn psql(
    server: &PostgresServer,
    to: &Connector,
    commands: &[String],
) -> impl FnOnce() -> Outcome + Clone + use<> {
    concurrently([psql_command(server, to, commands)])
}

fn psql_command(server: &PostgresServer, to: &Connector, commands: &[String]) -> Command {
    let mut psql = server.command("psql");
    psql.args([
        "--no-psqlrc",
        "--quiet",
        "--single-transaction",
        "--set=ON_ERROR_STOP=1",
    ]);
    psql.arg(to.url());
    for command in commands {
        psql.arg("--command").arg(command);
    }
    psql.stderr(Stdio::piped());
    psql
}

fn concurrently<const N: usize>(
    programs: [Command; N],
) -> impl FnOnce() -> Outcome + Clone + use<N> {
    let programs = Rc::new(RefCell::new(programs));
    move || {
        let mut running = Vec::new();
        for program in programs.borrow_mut().iter_mut() {
            running.push(program.spawn()?);
        }
        for program in running {
            let output = program.wait_with_output()?;
            if !output.status.success() {
                return Err(String::from_utf8_lossy(&output.stderr).into());
            }
        }
        Ok(())
    }
}

async fn types(client: &Client) -> Outcome<Vec<Type>> {
    let query = format!("SELECT {} FROM analysis.analysis_issues", issues::COLUMNS);
    let columns = client.prepare(&query).await?;
    Ok(columns
        .columns()
        .iter()
        .map(|column| column.type_().clone())
        .collect())
}

async fn copy_binary(client: &Client, types: &[Type], rows: &[issues::Model]) -> Outcome {
    let statement = format!(
        "COPY analysis.analysis_issues ({}) FROM STDIN (FORMAT binary)",
        issues::COLUMNS
    );
    let writer = BinaryCopyInWriter::new(client.copy_in(&statement).await?, types);
    pin_mut!(writer);
    for row in rows {
        writer.as_mut().write(&parameters(row)).await?;
    }
    assert_eq!(usize::try_from(writer.finish().await?)?, rows.len());
    Ok(())
}

/// Inserts rows as sqlx's documentation recommends for many rows: with one array for each column.
async fn unnest(pool: &PgPool, rows: &[issues::Model]) -> Outcome {
    let sql = format!(
        "INSERT INTO analysis.analysis_issues ({}) SELECT * FROM UNNEST($1::uuid[], $2::uuid[], \
         $3::analysis.issue_type[], $4::analysis.issue_severity[], $5::text[], $6::text[], $7::text[], $8::text[], \
         $9::int[], $10::int[], $11::int[], $12::int[], $13::text[], $14::text[], $15::int[], \
         $16::analysis.issue_status[], $17::timestamptz[], $18::uuid[], $19::timestamptz[])",
        issues::COLUMNS
    );
    let mut transaction = pool.begin().await?;
    for rows in rows.chunks(10_000) {
        /// Returns one column of all rows.
        macro_rules! column {
            ($field:ident) => {
                rows.iter().map(|row| row.$field).collect::<Vec<_>>()
            };
            ($field:ident as $reference:ident) => {
                rows.iter()
                    .map(|row| row.$field.$reference())
                    .collect::<Vec<_>>()
            };
        }
        sqlx::query(sqlx::AssertSqlSafe(sql.as_str()))
            .bind(column!(id))
            .bind(column!(analysis_id))
            .bind(column!(kind))
            .bind(column!(severity))
            .bind(column!(rule_id as as_deref))
            .bind(column!(title as as_str))
            .bind(column!(description as as_deref))
            .bind(column!(file_path as as_str))
            .bind(column!(line_number))
            .bind(column!(column_number))
            .bind(column!(end_line_number))
            .bind(column!(end_column_number))
            .bind(column!(code_snippet as as_deref))
            .bind(column!(fix_suggestion as as_deref))
            .bind(column!(estimated_fix_time))
            .bind(column!(status))
            .bind(column!(resolved_at))
            .bind(column!(resolved_by))
            .bind(column!(created_at))
            .execute(&mut *transaction)
            .await?;
    }
    Ok(transaction.commit().await?)
}
