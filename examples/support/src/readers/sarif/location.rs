//! The location of a result: from a URI or an index of the list of artifacts to a path relative to
//! the project's root.

use std::collections::HashMap;

use percent_encoding::percent_decode_str;

use super::super::source::normal_path;
use super::document::{Artifact, ArtifactLocation};

/// The files of one run.
///
/// A relative URI is joined to its base (`uriBaseId`), which may have a base of its own. A path
/// that is then absolute is made relative to the outermost base that contains it. If none does, it
/// stays absolute. A base that is not declared or has no URI of its own counts as the project's
/// root.
pub struct Locations {
    artifacts: Vec<Artifact>,
    /// Each base after joining its own bases: relative, or an absolute path or URI.
    bases: HashMap<String, String>,
    /// The absolute bases with a trailing slash, the shortest first.
    roots: Vec<String>,
}

impl Locations {
    /// Resolves the bases. Fails with the reason if they form a cycle.
    pub fn new(
        artifacts: Vec<Artifact>,
        declared: HashMap<String, ArtifactLocation>,
    ) -> Result<Self, String> {
        let mut bases = HashMap::with_capacity(declared.len());
        for name in declared.keys() {
            let (mut path, mut next, mut steps) = (String::new(), Some(name), 0);
            while let Some(base) = next.and_then(|name| declared.get(name)) {
                if steps == declared.len() {
                    return Err(format!("the base {name:?} leads back to itself"));
                }
                steps += 1;
                path = join(
                    &base.uri.as_deref().map(path_of_uri).unwrap_or_default(),
                    &path,
                );
                next = base.uri_base_id.as_ref();
            }
            bases.insert(name.clone(), path);
        }
        let mut roots: Vec<String> = bases
            .values()
            .filter(|base| is_absolute(base) && !base.trim_matches('/').is_empty())
            .map(|base| format!("{}/", base.trim_end_matches('/')))
            .collect();
        roots.sort_unstable_by_key(String::len);
        Ok(Self {
            artifacts,
            bases,
            roots,
        })
    }

    /// Returns the path of a location, if it names a file. Fails with the reason if its artifact
    /// does not exist.
    pub fn path(&self, location: &ArtifactLocation) -> Result<Option<String>, String> {
        let location = match (&location.uri, location.index) {
            (None, Some(index)) if index >= 0 => {
                let artifact = usize::try_from(index)
                    .ok()
                    .and_then(|index| self.artifacts.get(index));
                let count = self.artifacts.len();
                let artifact = artifact
                    .ok_or_else(|| format!("artifact {index} of {count} does not exist"))?;
                match &artifact.location {
                    Some(location) => location,
                    None => return Ok(None),
                }
            }
            _ => location,
        };
        let Some(uri) = &location.uri else {
            return Ok(None);
        };
        let base = location
            .uri_base_id
            .as_ref()
            .and_then(|name| self.bases.get(name));
        let path = join(base.map_or("", String::as_str), &path_of_uri(uri));
        let path = self
            .roots
            .iter()
            .find_map(|root| path.strip_prefix(root.as_str()))
            .unwrap_or(&path);
        Ok((!path.is_empty()).then(|| path.to_owned()))
    }
}

fn join(base: &str, path: &str) -> String {
    if base.is_empty() || is_absolute(path) {
        path.to_owned()
    } else if has_scheme(base) {
        format!("{}/{path}", base.trim_end_matches('/'))
    } else {
        normal_path(&format!(
            "{}/{path}",
            base.strip_suffix('/').unwrap_or(base)
        ))
    }
}

fn is_absolute(path: &str) -> bool {
    let is_drive =
        matches!(path.as_bytes(), [drive, b':', b'/', ..] if drive.is_ascii_alphabetic());
    path.starts_with('/') || is_drive || has_scheme(path)
}

/// Checks whether a URI starts with a scheme. One letter and a colon are a Windows drive.
fn has_scheme(uri: &str) -> bool {
    scheme(uri).is_some()
}

fn scheme(uri: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = uri.split_once(':')?;
    let is_scheme_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let starts_well = scheme.len() > 1 && scheme.as_bytes()[0].is_ascii_alphabetic();
    (starts_well && scheme.bytes().all(is_scheme_letter)).then_some((scheme, rest))
}

fn is_drive(text: &str) -> bool {
    matches!(text.as_bytes(), [drive, b':' | b'|'] if drive.is_ascii_alphabetic())
}

/// Returns the decoded path of a relative or `file` URI, or any other URI unchanged.
fn path_of_uri(uri: &str) -> String {
    let path = match scheme(uri) {
        None => uri,
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("file") => {
            match rest.strip_prefix("//") {
                Some(host_and_path) => match host_and_path.split_once('/') {
                    Some(("" | "localhost", _)) => {
                        &host_and_path[host_and_path.find('/').unwrap_or(0)..]
                    }
                    // This is not a host's name. The URI has two slashes too many.
                    Some((drive, _)) if is_drive(drive) => host_and_path,
                    Some(("." | "..", _)) | None => host_and_path,
                    _ => rest,
                },
                None => rest,
            }
        }
        Some(_) => return uri.replace('\0', "\u{fffd}"),
    };
    let path = normal_path(&percent_decode_str(&path.replace('\\', "/")).decode_utf8_lossy());
    match path.as_bytes() {
        [b'/', drive, b':', b'/', ..] if drive.is_ascii_alphabetic() => path[1..].to_owned(),
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locations(bases: &[(&str, Option<&str>, Option<&str>)]) -> Result<Locations, String> {
        let artifact = |uri: &str| Artifact {
            location: Some(at(Some(uri), Some("SRC"), None)),
        };
        let base = |(name, uri, of): &(&str, Option<&str>, Option<&str>)| {
            ((*name).to_owned(), at(*uri, *of, None))
        };
        Locations::new(
            vec![artifact("a.py"), Artifact { location: None }],
            bases.iter().map(base).collect(),
        )
    }

    fn at(uri: Option<&str>, base: Option<&str>, index: Option<i64>) -> ArtifactLocation {
        ArtifactLocation {
            uri: uri.map(str::to_owned),
            uri_base_id: base.map(str::to_owned),
            index,
        }
    }

    #[test]
    fn uris_become_paths() {
        let files = locations(&[]).unwrap();
        for (uri, path) in [
            ("a/b.py", "a/b.py"),
            ("./a/../b%20c.py", "b c.py"),
            ("a/%C3%A9%23.py", "a/é#.py"),
            ("a%00b.py", "a\u{fffd}b.py"),
            ("%ff.py", "\u{fffd}.py"),
            ("src\\a.cs", "src/a.cs"),
            ("file:///home/me/a%2Bb.py", "/home/me/a+b.py"),
            ("FILE:/home/me/a.py", "/home/me/a.py"),
            ("file://localhost/home/a.py", "/home/a.py"),
            ("file://server/share/a.py", "//server/share/a.py"),
            ("file://d:/x.c", "d:/x.c"),
            ("file://./x.c", "x.c"),
            ("file://x.c", "x.c"),
            ("file:///C:/x/a.cs", "C:/x/a.cs"),
            ("file:///c%3A/x/a.cs", "c:/x/a.cs"),
            ("C:\\x\\a.cs", "C:/x/a.cs"),
            ("/home/me/a.py", "/home/me/a.py"),
            (
                "https://example.org/a%20b.py",
                "https://example.org/a%20b.py",
            ),
            ("../a.py", "../a.py"),
        ] {
            assert_eq!(
                files.path(&at(Some(uri), None, None)).unwrap().as_deref(),
                Some(path),
                "{uri}"
            );
        }
        for uri in [Some(""), Some("."), None] {
            assert_eq!(files.path(&at(uri, None, None)).unwrap(), None);
        }
    }

    #[test]
    fn bases_are_followed_and_the_outermost_is_the_root() {
        let files = locations(&[
            ("ROOT", Some("file:///home/me/proj"), None),
            ("SRC", Some("src/"), Some("ROOT")),
            ("GEN", Some("file:///home/me/proj/gen/"), None),
            ("LOOSE", Some("lib/"), None),
            ("HIDDEN", None, None),
            ("WEB", Some("https://example.org/x/"), None),
        ])
        .unwrap();
        for (uri, base, path) in [
            ("a.py", Some("SRC"), "src/a.py"),
            ("a.py", Some("ROOT"), "a.py"),
            ("a.py", Some("GEN"), "gen/a.py"),
            ("a.py", Some("LOOSE"), "lib/a.py"),
            ("a.py", Some("HIDDEN"), "a.py"),
            ("a.py", Some("UNDECLARED"), "a.py"),
            ("a.py", Some("WEB"), "a.py"),
            ("file:///home/me/proj/src/a.py", None, "src/a.py"),
            ("file:///home/me/proj/src/a.py", Some("SRC"), "src/a.py"),
            (
                "file:///home/me/project/a.py",
                None,
                "/home/me/project/a.py",
            ),
            ("../../a.py", Some("SRC"), "/home/me/a.py"),
        ] {
            assert_eq!(
                files.path(&at(Some(uri), base, None)).unwrap().as_deref(),
                Some(path),
                "{uri} {base:?}"
            );
        }
        assert_eq!(
            files.path(&at(None, None, Some(0))).unwrap().as_deref(),
            Some("src/a.py")
        );
        assert_eq!(files.path(&at(None, None, Some(1))).unwrap(), None);
        assert_eq!(files.path(&at(None, None, Some(-1))).unwrap(), None);
        assert_eq!(
            files.path(&at(None, None, Some(2))).unwrap_err(),
            "artifact 2 of 2 does not exist"
        );
    }

    #[test]
    fn the_root_directory_as_a_base_makes_nothing_relative_and_a_cycle_is_an_error() {
        let files = locations(&[("ROOT", Some("file:///"), None)]).unwrap();
        assert_eq!(
            files
                .path(&at(Some("file:///a/b.py"), None, None))
                .unwrap()
                .as_deref(),
            Some("/a/b.py")
        );
        for (uri, path) in [
            ("etc/passwd", "/etc/passwd"),
            ("./a.c", "/a.c"),
            ("../a.c", "/a.c"),
        ] {
            let path_in_root = files.path(&at(Some(uri), Some("ROOT"), None)).unwrap();
            assert_eq!(path_in_root.as_deref(), Some(path), "{uri}");
        }
        let drive = locations(&[("ROOT", Some("file:///d:/"), None)]).unwrap();
        let in_drive = drive.path(&at(Some("x.c"), Some("ROOT"), None)).unwrap();
        assert_eq!(in_drive.as_deref(), Some("x.c"));
        assert!(locations(&[("A", Some("a/"), Some("B")), ("B", Some("b/"), Some("A"))]).is_err());
        assert!(locations(&[("A", None, Some("A"))]).is_err());
    }
}
