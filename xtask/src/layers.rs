//! A test that imports between the folders of `src` go one way, as `docs/architecture.md` draws
//! them.

use std::collections::HashMap;
use std::fs;

/// The modules of `src` in layers, from the lowest. A file imports from its own layer and from
/// those before it.
const LAYERS: [&[&str]; 6] = [
    &["error", "observation", "schema", "tables", "types"],
    &[
        "mapping",
        "pagination",
        "transaction",
        "validation",
        "write_set",
    ],
    &["models"],
    &["sql"],
    &["config", "engine", "live", "repositories"],
    &["cache", "web"],
];

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// A source file without its comments and its tests, and the module of `src` that it belongs to.
struct Source {
    file: String,
    module: String,
    code: String,
}

fn sources() -> Vec<Source> {
    let root = crate::root().join("src");
    let (mut folders, mut sources) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let file = path.strip_prefix(&root).unwrap().to_str().unwrap();
            let module = file.split('/').next().unwrap().trim_end_matches(".rs");
            let text = fs::read_to_string(&path).unwrap();
            let is_code = |line: &&str| !line.trim_start().starts_with("//");
            let code: Vec<_> = text.lines().filter(is_code).collect();
            let code = code.join("\n");
            let code = code.split("#[cfg(test)]\nmod tests").next().unwrap();
            if !file.ends_with("tests.rs") {
                sources.push(Source {
                    file: file.to_owned(),
                    module: module.to_owned(),
                    code: code.to_owned(),
                });
            }
        }
    }
    sources
}

/// The module of each type and trait that a file declares for others; the lowest for a name of
/// several.
fn declarations(sources: &[Source]) -> HashMap<String, String> {
    let mut declared: HashMap<String, String> = HashMap::new();
    for source in sources {
        let Some(layer) = layer_of(&source.module) else {
            continue;
        };
        for line in source.code.lines() {
            let words: Vec<_> = line
                .split(|character: char| !character.is_alphanumeric() && character != '_')
                .filter(|word| !word.is_empty() && !matches!(*word, "crate" | "const"))
                .collect();
            if let ["pub", "struct" | "enum" | "trait" | "type", name, ..] = words[..] {
                let known = declared.get(name).and_then(|module| layer_of(module));
                if known.is_none_or(|known| layer < known) {
                    declared.insert(name.to_owned(), source.module.clone());
                }
            }
        }
    }
    declared
}

/// Returns the first segment of each path that follows `crate::`.
fn imported(code: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for (index, _) in code.match_indices("crate::") {
        let after = &code[index + "crate::".len()..];
        let list = after.strip_prefix('{').unwrap_or(after);
        let (mut depth, mut starts) = (0, true);
        for (position, character) in list.char_indices() {
            match character {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => starts = true,
                _ if character.is_whitespace() => {}
                _ if starts => {
                    starts = false;
                    let is_part = |character: char| character.is_alphanumeric() || character == '_';
                    let rest = &list[position..];
                    let end = rest.find(|character| !is_part(character));
                    names.push(&rest[..end.unwrap_or(rest.len())]);
                }
                _ => {}
            }
            if !after.starts_with('{') && !starts {
                break;
            }
        }
    }
    names
}

#[test]
fn imports_go_one_way() {
    let sources = sources();
    let declared = declarations(&sources);
    let (mut checked, mut wrong) = (0, Vec::new());
    for source in &sources {
        let Some(layer) = layer_of(&source.module) else {
            continue;
        };
        for name in imported(&source.code) {
            let module = declared.get(name).map_or(name, String::as_str);
            if let Some(target) = layer_of(module) {
                checked += 1;
                if target > layer {
                    wrong.push(format!("{} imports {name} of {module}", source.file));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(checked >= 500, "only {checked} imports were found");
}

#[test]
fn each_name_of_a_list_is_found() {
    let code = "use crate::{A, b::{C, D}, E};\nuse crate::f::G;\nlet x = crate::h(1, 2);";
    assert_eq!(imported(code), ["A", "b", "E", "f", "h"]);
}

/// The cache implements two traits of the engine, which is the same with and without it.
#[test]
fn the_engine_is_compiled_without_regard_to_the_cache() {
    let sources = sources();
    let names_it =
        |source: &&Source| source.module == "engine" && source.code.contains("\"redis\"");
    let wrong: Vec<_> = sources
        .iter()
        .filter(names_it)
        .map(|source| &source.file)
        .collect();
    assert!(wrong.is_empty(), "the feature redis is named in {wrong:?}");
}
