//! Mistakes that the compiler reports.
//!
//! Each program in `tests/ui` must fail with the messages of its `.stderr` file. With `BLESS=1` the
//! test writes these files instead.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

/// Returns the libraries that this test program is linked with, by name.
///
/// The build is up to date, so that cargo only prints where its results are. A build of its own in
/// another directory, as trybuild makes it, would compile all dependencies again. The program that
/// cargo is asked for is not this one: after a change to a source, cargo would replace the program
/// that runs, which other tests start again.
fn libraries() -> HashMap<String, String> {
    let mut cargo = Command::new(env!("CARGO"));
    // Cargo sets these for a test program. A build script that watches one of them would run again.
    for (name, _) in env::vars_os() {
        let is_of_package = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"];
        if is_of_package
            .iter()
            .any(|prefix| name.to_string_lossy().starts_with(prefix))
        {
            cargo.env_remove(name);
        }
    }
    let output = cargo
        .args(["test", "--workspace", "--test", "cache_model", "--no-run"])
        .args(["--offline", "--message-format=json", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .output()
        .unwrap();
    let messages = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{messages}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    messages
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter_map(|message| {
            let name = message["target"]["name"].as_str()?.to_owned();
            let files = message["filenames"].as_array()?;
            let mut files = files.iter().filter_map(|file| file.as_str());
            let library = files.find(|file| file.ends_with(".rlib"))?;
            Some((name, library.to_owned()))
        })
        .collect()
}

/// What the programs name besides this crate: `table!` writes code that names it. What is built for
/// macros as well, as uuid is, has two libraries.
const OTHERS: [&str; 1] = ["diesel"];

/// Begins a program whose messages are diesel's. Only the errors and their places are compared: the
/// rest depends on diesel's version and on the types of all tables.
const OF_DIESEL: &str = "// The message is diesel's.";

/// Returns the errors and the program's own lines below each.
fn places(messages: &[String]) -> Vec<String> {
    let mut is_place = false;
    let mut places = Vec::new();
    for line in messages {
        if line.starts_with("error[") {
            is_place = true;
        } else if line.starts_with("= ") || line.starts_with("note") || line.starts_with("help") {
            is_place = false;
        }
        if is_place && (line.starts_with("error[") || line.starts_with("--> tests/")) {
            places.push(line.clone());
        }
    }
    places
}

/// Returns the messages without what depends on the lines of the library's own source.
fn normalized(messages: &str) -> Vec<String> {
    let mut is_own = true;
    let lines = messages.lines().map(|line| {
        let text = line.trim_start();
        if let Some(place) = text.strip_prefix("--> ") {
            is_own = place.starts_with("tests/");
            let end = place.find(".rs").map_or(place.len(), |end| end + 3);
            let place = if is_own { place } else { &place[..end] };
            // The folder is mounted in the module of each engine.
            let place = place.replace("engine/asynchronous/../../", "");
            let place = place.replace("engine/blocking/../../", "");
            return format!("--> {place}");
        }
        match text.trim_start_matches(|c: char| c.is_ascii_digit()) {
            // A line of source code, whose number stands before the bar.
            code if code.starts_with(" |") && !is_own => code.trim_start().to_owned(),
            _ => text.to_owned(),
        }
    });
    let mut lines: Vec<_> = lines
        .map(|line| line.replace("$DIR/", ""))
        .filter(|line| !line.is_empty() && !line.starts_with("For more information"))
        .filter(|line| !line.starts_with("error: aborting due to"))
        .collect();
    lines.dedup();
    lines
}

#[test]
fn mistakes_do_not_compile() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"));
    let libraries = libraries();
    let library = &libraries["wundr_db"];
    // Cargo links a result into the directory above that of the dependencies.
    let dependencies = Path::new(library).parent().unwrap();
    let dependencies = match dependencies.ends_with("deps") {
        true => dependencies.to_owned(),
        false => dependencies.join("deps"),
    };
    let scratch = tempfile::tempdir().unwrap();
    let mut programs: Vec<_> = fs::read_dir(directory.join("tests/ui"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect();
    programs.sort();
    assert!(!programs.is_empty());
    for program in programs {
        let name = program.strip_prefix(directory).unwrap();
        let source = fs::read_to_string(&program).unwrap();
        let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let output = Command::new(rustc)
            .current_dir(directory)
            .args(["--edition=2024", "--crate-type=bin", "--emit=metadata"])
            .args(["--diagnostic-width=140", "--color=never", "--extern"])
            .arg(format!("wundr_db={library}"))
            .args(OTHERS.iter().flat_map(|name| {
                [
                    "--extern".to_owned(),
                    format!("{name}={}", libraries[*name]),
                ]
            }))
            .arg("-L")
            .arg(format!("dependency={}", dependencies.display()))
            .arg("--out-dir")
            .arg(scratch.path())
            .args(source.contains("::test]").then_some("--test"))
            .arg(name)
            .output()
            .unwrap();
        let messages = String::from_utf8(output.stderr).unwrap();
        let is_of_diesel = source.starts_with(OF_DIESEL);
        let compared = |messages: &str| match normalized(messages) {
            messages if is_of_diesel => places(&messages),
            messages => messages,
        };
        assert!(!output.status.success(), "{} compiles", name.display());
        let expected = program.with_extension("stderr");
        if env::var_os("BLESS").is_some() {
            fs::write(&expected, compared(&messages).join("\n") + "\n").unwrap();
        }
        let expected = fs::read_to_string(expected).unwrap();
        assert_eq!(
            compared(&messages),
            compared(&expected),
            "{}:\n{messages}",
            name.display()
        );
    }
}
