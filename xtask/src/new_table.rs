//! Writes the skeleton of a table: the steps of `docs/adding-a-table.md`, with a key, a name and
//! two times as columns.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::names::Names;

/// The files that are written, each with its template.
const FILES: [(&str, &str); 4] = [
    (
        "src/models/__TABLE__.rs",
        include_str!("../templates/model.rs.txt"),
    ),
    (
        "src/repositories/__TABLE__.rs",
        include_str!("../templates/repository.rs.txt"),
    ),
    (
        "tests/contracts/tables/__TABLE__.rs",
        include_str!("../templates/contract.rs.txt"),
    ),
    (
        "tests/database/statements/contract/__TABLE__.rs",
        include_str!("../templates/statements.rs.txt"),
    ),
];

const UP: &str = include_str!("../templates/up.sql");
const DOWN: &str = include_str!("../templates/down.sql");
const FIXTURE: &str = "    __ROW__ {
        id: __ROW__Id = __ROW__Id::new(),
        name: String = \"name\".to_owned(),
        created_at: DateTime<Utc> = created(),
        updated_at: DateTime<Utc> = created(),
    } nullable {}
";
const TABLE: &str = include_str!("../templates/schema.rs.txt");

/// A list to which the table is added: a file, the beginning and end of its sorted lines, and what
/// is between them.
const LISTS: [(&str, &str, &str); 6] = [
    ("src/models/mod.rs", "mod ", ";"),
    ("src/models/mod.rs", "pub use ", "::*;"),
    ("src/repositories/mod.rs", "mod ", ";"),
    ("src/repositories/mod.rs", "pub use ", "::*;"),
    ("tests/contracts/tables/mod.rs", "mod ", ";"),
    ("tests/database/statements/contract/mod.rs", "mod ", ";"),
];

/// Writes the files and lines of a table. Nothing is written if one of the files is there already.
pub fn run(root: &Path, table: &str, schema: &str, row: Option<&str>) -> Result<(), String> {
    let names = Names::new(table, schema, row)?;
    let mut edits = Edits {
        root: root.to_owned(),
        files: Vec::new(),
    };

    let migration = format!("migrations/2025-01-02-{:06}_{table}", next_migration(root)?);
    edits.create(&format!("{migration}/up.sql"), names.fill(UP))?;
    edits.create(&format!("{migration}/down.sql"), names.fill(DOWN))?;
    for (path, template) in FILES {
        edits.create(&names.fill(path), names.fill(template))?;
    }
    edits.change("src/schema.rs", |text| with_table(text, &names))?;
    edits.change("src/schema/together.rs", |text| {
        with_appended(
            text,
            &format!("            ({schema} "),
            &format!(" ({schema} {table})"),
        )
    })?;
    edits.change("src/migrations/way_back.rs", |text| {
        let list = "const RELATIONS: &[&str] = &[";
        with_appended(text, list, &format!("\n    \"{schema}.{table}\","))
    })?;
    edits.change("src/tables.rs", |text| with_entry(text, &names))?;
    edits.change("src/sql/admin/organization.rs", |text| {
        with_no_export(text, &names)
    })?;
    edits.change("src/testing/fixtures.rs", |text| with_fixture(text, &names))?;
    edits.change("tests/database/from_json.rs", |text| {
        with_bodies(text, &names)
    })?;
    for (path, begin, end) in LISTS {
        edits.change(path, |text| with_line(text, begin, table, end))?;
    }
    // cargo does not watch the directory of the migrations.
    edits.write()?;
    touch(&root.join("src/migrations.rs"))?;
    format(root)?;
    println!(
        "\nWritten. What remains, by docs/adding-a-table.md:\n\
         - the columns, in {migration}/up.sql, src/schema.rs and src/models/{table}.rs;\n\
         - an index for each foreign key, and joinable! in src/schema.rs for a join;\n\
         - the methods of src/repositories/{table}.rs and their promises in tests/contracts/tables/{table}.rs;\n\
         - the rows that an archive of an organization has, in src/sql/admin/organization.rs;\n\
         - cargo xtask bless sql, docs/schema.md and CHANGELOG.md.\n\
         Then: cargo test --test database && cargo test --test contracts tables::{table}"
    );
    Ok(())
}

/// The texts of files that are written when all of them are known.
struct Edits {
    root: PathBuf,
    files: Vec<(String, String)>,
}

impl Edits {
    fn create(&mut self, path: &str, text: String) -> Result<(), String> {
        if self.root.join(path).exists() {
            return Err(format!("{path} is there already"));
        }
        self.files.push((path.to_owned(), text));
        Ok(())
    }

    fn change(
        &mut self,
        path: &str,
        edit: impl FnOnce(&str) -> Option<String>,
    ) -> Result<(), String> {
        let failed = || format!("the place for the table was not found in {path}");
        if let Some((_, text)) = self.files.iter_mut().find(|(file, _)| file == path) {
            *text = edit(text).ok_or_else(failed)?;
            return Ok(());
        }
        let text =
            fs::read_to_string(self.root.join(path)).map_err(|error| format!("{path}: {error}"))?;
        self.files
            .push((path.to_owned(), edit(&text).ok_or_else(failed)?));
        Ok(())
    }

    fn write(self) -> Result<(), String> {
        for (path, text) in &self.files {
            let full = self.root.join(path);
            let directory = full.parent().map_or(Ok(()), fs::create_dir_all);
            let written = directory.and_then(|()| fs::write(&full, text));
            written.map_err(|error| format!("{path}: {error}"))?;
            println!("{path}");
        }
        Ok(())
    }
}

/// Returns the number after that of the last migration, with space between for others.
fn next_migration(root: &Path) -> Result<u32, String> {
    let directory = root.join("migrations");
    let entries = fs::read_dir(&directory).map_err(|error| format!("migrations: {error}"))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let numbers = names.filter_map(|name| {
        name.strip_prefix("2025-01-02-")?
            .get(..6)?
            .parse::<u32>()
            .ok()
    });
    let last = numbers
        .max()
        .ok_or("there are no migrations of 2025-01-02")?;
    Ok((last / 100 + 1) * 100)
}

/// Returns the text with `more` at the end of the first line that has this beginning.
fn with_appended(text: &str, beginning: &str, more: &str) -> Option<String> {
    let start = text.find(&format!("\n{beginning}"))? + 1;
    let end = start + text[start..].find('\n')?;
    Some(format!("{}{more}{}", &text[..end], &text[end..]))
}

/// Returns `src/schema.rs` with the table in its schema's module.
fn with_table(text: &str, names: &Names) -> Option<String> {
    let module = text.find(&format!("\npub mod {} {{", names.schema))?;
    let end = module + text[module..].find("\n}\n")?;
    let of_module = &text[module..end];
    let lists = "    diesel::allow_tables_to_appear_in_same_query!(";
    let list = module + of_module.find(lists)?;
    let first_join = of_module
        .find("    diesel::joinable!(")
        .map(|at| module + at);
    let place = first_join.map_or(list, |join| join.min(list));
    let close = list + text[list..].find("\n    );")?;
    let (head, middle, tail) = (&text[..place], &text[place..close], &text[close..]);
    Some(format!(
        "{head}{}\n{middle},\n        {}{tail}",
        names.fill(TABLE),
        names.table
    ))
}

/// Returns `src/tables.rs` with the table after the last one of its schema.
fn with_entry(text: &str, names: &Names) -> Option<String> {
    let of_schema = format!("\n            {}.", names.schema);
    let last = text.rfind(&of_schema)?;
    let end = last + 1 + text[last + 1..].find('\n')? + 1;
    let entry = names
        .fill("            __SCHEMA__.__TABLE__: __ROWS__, __ROW__, New__ROW__, __ROW__Id, [];\n");
    Some(format!("{}{entry}{}", &text[..end], &text[end..]))
}

/// Returns `src/sql/admin/organization.rs` with the table after the last one of which an archive
/// has no rows.
fn with_no_export(text: &str, names: &Names) -> Option<String> {
    let last = text.find(" => return None,")?;
    let arm = names.fill("\n        | Table::__ROWS__");
    Some(format!("{}{arm}{}", &text[..last], &text[last..]))
}

/// Returns `tests/database/from_json.rs` with the structs that describe a write.
fn with_bodies(text: &str, names: &Names) -> Option<String> {
    let mut text = text.to_owned();
    for (list, line) in [
        ("fn readable()", "__ROW__Changes: name unchanged_since;"),
        ("fn bodies()", "__ROW__Body: name;"),
        ("fn unreadable()", "New__ROW__"),
    ] {
        let list = text.find(&format!("\n{list}"))?;
        let begin = "\n    table! {\n";
        let place = list + text[list..].find(begin)? + begin.len();
        text.insert_str(place, &format!("        {}\n", names.fill(line)));
    }
    Some(text)
}

/// Returns `src/testing/fixtures.rs` with the row after the last one.
fn with_fixture(text: &str, names: &Names) -> Option<String> {
    let end = text.rfind("\n}\n\nimpl RowBuilder<Analysis>")? + 1;
    let entry = names.fill(FIXTURE);
    Some(format!("{}{entry}{}", &text[..end], &text[end..]))
}

/// Returns a text with a line `begin` `name` `end`, at its place in the sorted lines of that form.
fn with_line(text: &str, begin: &str, name: &str, end: &str) -> Option<String> {
    let line = format!("{begin}{name}{end}\n");
    let mut place = None;
    let mut at = 0;
    for other in text.split_inclusive('\n') {
        let named = other
            .strip_prefix(begin)
            .and_then(|rest| rest.strip_suffix(&format!("{end}\n")));
        let is_word = |word: &&str| word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if let Some(named) = named.filter(is_word) {
            if named > name {
                place = Some(at);
                break;
            }
            place = Some(at + other.len());
        }
        at += other.len();
    }
    let place = place?;
    Some(format!("{}{line}{}", &text[..place], &text[place..]))
}

fn touch(path: &Path) -> Result<(), String> {
    let file = fs::File::options().append(true).open(path);
    let touched = file.and_then(|file| file.set_modified(std::time::SystemTime::now()));
    touched.map_err(|error| format!("{}: {error}", path.display()))
}

/// Formats the sources: the length of the names decides where lines end.
fn format(root: &Path) -> Result<(), String> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let status = cargo.current_dir(root).args(["fmt", "--all"]).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("cargo fmt: {status}")),
        Err(error) => Err(format!("cargo cannot be started: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names::new("webhooks", "setup", None).unwrap()
    }

    #[test]
    fn a_line_goes_to_its_place() {
        let list =
            "use super::*;\n\nmod tools;\npub(crate) mod tracking;\nmod users;\n\nfn f() {}\n";
        let with = with_line(list, "mod ", "webhooks", ";").unwrap();
        assert!(with.contains("mod users;\nmod webhooks;\n\nfn"), "{with}");
        let with = with_line(list, "mod ", "alarms", ";").unwrap();
        assert!(with.contains("\nmod alarms;\nmod tools;"), "{with}");
        assert_eq!(with_line("fn f() {}\n", "mod ", "webhooks", ";"), None);
    }

    #[test]
    fn the_table_goes_to_its_schema() {
        let root = crate::root();
        let schema = fs::read_to_string(root.join("src/schema.rs")).unwrap();
        let with = with_table(&schema, &names()).unwrap();
        let table = with.find("setup.webhooks (id) {").unwrap();
        assert!(with.find("pub mod setup {").unwrap() < table);
        assert!(table < with.find("pub mod audit {").unwrap());
        assert_eq!(with.matches("webhooks").count(), 2);

        let tables = fs::read_to_string(root.join("src/tables.rs")).unwrap();
        let with = with_entry(&tables, &names()).unwrap();
        let entry = with
            .find("webhooks: Webhooks, Webhook, NewWebhook, WebhookId")
            .unwrap();
        assert!(with.find("setup.integrations:").unwrap() < entry);
        assert!(entry < with.find("audit.audit_logs:").unwrap());
    }
}
