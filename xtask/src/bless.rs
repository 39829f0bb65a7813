//! Writes the expected texts of tests again.

use std::path::Path;
use std::process::Command;

/// Writes the statements in `tests/sql`.
pub fn sql(root: &Path) -> Result<(), String> {
    test(root, "BLESS_SQL", &["--lib", "sql::golden"])
}

/// Writes the messages of the compiler in `tests/ui`.
pub fn ui(root: &Path) -> Result<(), String> {
    test(root, "BLESS", &["--test", "ui"])
}

fn test(root: &Path, variable: &str, arguments: &[&str]) -> Result<(), String> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root).env(variable, "1").arg("test");
    let status = cargo
        .args(["--package", "wundr-db"])
        .args(arguments)
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("cargo test {}: {status}", arguments.join(" "))),
        Err(error) => Err(format!("cargo cannot be started: {error}")),
    }
}
