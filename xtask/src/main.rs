//! Tasks of this repository that neither cargo nor a shell line does.

mod bless;
#[cfg(test)]
mod layers;
mod names;
mod new_table;
mod wrap;

use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask TASK

  new-table NAME SCHEMA [ROW]   writes the skeleton of a table, for example: new-table webhooks setup
                                ROW is the name of a row. Default: the singular of NAME, in camel case.
  bless [sql|ui|names]          writes the expected texts again: the statements in tests/sql, the compiler's messages
                                in tests/ui, the names of the statements. Default: all.
  wrap [--check]                wraps comments and documents at 100 columns, or checks that they are wrapped.";

/// Returns the directory of the repository.
///
/// cargo sets the variable also at run time. Two copies of the repository that share a target
/// directory share this program, too: the directory at compile time may be that of the other copy.
fn root() -> PathBuf {
    let running = std::env::var_os("CARGO_MANIFEST_DIR");
    let package = running.map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    package.parent().map_or(package.clone(), PathBuf::from)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        ["new-table", name, schema] => new_table::run(&root(), name, schema, None),
        ["new-table", name, schema, row] => new_table::run(&root(), name, schema, Some(row)),
        ["bless"] => bless::sql(&root())
            .and_then(|()| bless::ui(&root()))
            .and_then(|()| bless::names(&root())),
        ["bless", "names"] => bless::names(&root()),
        ["bless", "sql"] => bless::sql(&root()),
        ["bless", "ui"] => bless::ui(&root()),
        ["wrap"] => wrap::run(&root(), false),
        ["wrap", "--check"] => wrap::run(&root(), true),
        _ => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
