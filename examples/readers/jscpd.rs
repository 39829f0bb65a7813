//! jscpd's JSON: pairs of places with the same code.

use std::collections::HashMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{ReadError, source};

/// The clones of a project.
#[derive(Debug)]
pub struct Duplication {
    /// The clones, in jscpd's order.
    pub clones: Vec<Clone>,
    /// Lines that jscpd looked at.
    pub lines: u64,
    /// Lines that are a copy.
    pub duplicated_lines: u64,
    /// Share of lines that are a copy, 0 to 100.
    pub percentage: f64,
}

/// Two places with the same tokens.
#[derive(Debug, PartialEq)]
pub struct Clone {
    /// 64 hexadecimal digits that stay the same while the clone does, also if its lines move (see [`read`]).
    pub hash: String,
    /// jscpd's name of the language.
    pub format: String,
    /// Lines of the first place.
    pub lines: u32,
    /// Tokens that are the same.
    pub tokens: u32,
    /// How alike the places are, 0 to 100: always 100, for jscpd looks for equal tokens.
    pub similarity_percentage: f64,
    /// The two places, in jscpd's order.
    pub fragments: [Fragment; 2],
}

/// One place of a clone.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fragment {
    /// The file, relative to the project's root.
    pub file_path: String,
    /// First line, from 1.
    pub start_line: u32,
    /// Last line.
    pub end_line: u32,
    /// Whether the last line is worked out from the clone's lines, because jscpd's cannot be right (see
    /// [`read`]).
    pub end_is_inferred: bool,
}

#[derive(Deserialize)]
struct Document {
    statistics: Statistics,
    duplicates: Vec<Duplicate>,
}

#[derive(Deserialize)]
struct Statistics {
    total: Total,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Total {
    lines: u64,
    duplicated_lines: u64,
    percentage: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Duplicate {
    format: String,
    lines: u32,
    #[serde(default)]
    tokens: u32,
    first_file: Place,
    second_file: Place,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    name: String,
    start: u32,
    end: u32,
    start_loc: Option<Location>,
    end_loc: Option<Location>,
}

#[derive(Deserialize)]
struct Location {
    position: Option<u32>,
}

/// Reads the JSON of jscpd 3.
///
/// jscpd 3 says 0 for the tokens of a clone; then they are the distance between the token positions of its
/// first place, which adds up to jscpd's own total.
///
/// The last line of a clone's second place is now and then that of another clone: before its first line, or
/// hundreds of lines on. Where the second place has less than half or more than twice the tokens of the
/// first, its last line is therefore its first plus the lines of the clone, and is marked so.
///
/// The hash is that of the format, the number of lines and tokens, the two file names in order, and its
/// number among such clones, for the code itself is not in the report. So it outlives a change elsewhere in
/// the files.
///
/// # Errors
/// [`ReadError::Fault`] with the index of a clone that ends before it starts, or what [`super::read`] gives
/// for a broken file.
pub fn read(path: &Path) -> Result<Duplication, ReadError> {
    let Document {
        statistics: Statistics { total },
        duplicates,
    } = source::json(path)?;
    let fault = |place: String, reason: &str| ReadError::Fault {
        path: path.to_owned(),
        place,
        reason: reason.into(),
    };
    if !(0.0..=100.0).contains(&total.percentage) {
        return Err(fault(
            "statistics.total".to_owned(),
            "percentage is not from 0 to 100",
        ));
    }
    let mut seen: HashMap<String, u32> = HashMap::new();
    let mut clones = Vec::with_capacity(duplicates.len());
    for (index, duplicate) in duplicates.into_iter().enumerate() {
        let place = || format!("duplicates[{index}]");
        let tokens = duplicate
            .first_file
            .tokens()
            .filter(|_| duplicate.tokens == 0)
            .unwrap_or(duplicate.tokens);
        let (first, second) = (duplicate.first_file, duplicate.second_file);
        if first.end < first.start {
            return Err(fault(place(), "its first place ends before it starts"));
        }
        let is_wrong = second.end < second.start || second.differs_in_size(&first);
        let inferred = is_wrong.then(|| {
            second
                .start
                .saturating_add(duplicate.lines.saturating_sub(1))
        });
        let fragments = [first.fragment(None), second.fragment(inferred)];
        if fragments
            .iter()
            .any(|fragment| fragment.file_path.is_empty())
        {
            return Err(fault(place(), "no file name"));
        }
        let format = duplicate.format.replace('\0', "\u{fffd}");
        let mut names = [&fragments[0].file_path, &fragments[1].file_path];
        names.sort_unstable();
        let description = format!(
            "{format}\n{}\n{tokens}\n{}\n{}\n",
            duplicate.lines, names[0], names[1]
        );
        let nth = seen
            .entry(description.clone())
            .and_modify(|nth| *nth += 1)
            .or_insert(1);
        let hash = hexadecimal(&Sha256::digest(format!("{description}{nth}")));
        let lines = duplicate.lines;
        clones.push(Clone {
            hash,
            format,
            lines,
            tokens,
            similarity_percentage: 100.0,
            fragments,
        });
    }
    let Total {
        lines,
        duplicated_lines,
        percentage,
    } = total;
    Ok(Duplication {
        clones,
        lines,
        duplicated_lines,
        percentage,
    })
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Place {
    fn tokens(&self) -> Option<u32> {
        let position = |location: &Option<Location>| location.as_ref()?.position;
        position(&self.end_loc)?.checked_sub(position(&self.start_loc)?)
    }

    /// Whether one place has less than half the tokens of the other; false if positions are not given.
    fn differs_in_size(&self, first: &Place) -> bool {
        let Some(expected) = first.tokens() else {
            return false;
        };
        match self.tokens() {
            Some(tokens) => tokens < expected / 2 || tokens / 2 > expected,
            None => self.start_loc.is_some() && self.end_loc.is_some(),
        }
    }

    fn fragment(self, inferred_end: Option<u32>) -> Fragment {
        Fragment {
            file_path: source::normal_path(&self.name),
            start_line: self.start,
            end_line: inferred_end.unwrap_or(self.end),
            end_is_inferred: inferred_end.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::source::tests::file;
    use super::*;

    fn document(places: &[(&str, u32, &str, u32)]) -> String {
        let duplicates: Vec<_> = places
            .iter()
            .map(|(first, first_line, second, second_line)| {
                let place = |name: &str, line: u32| {
                    serde_json::json!({"name": name, "start": line, "end": line + 5,
                        "startLoc": {"line": line, "position": 10}, "endLoc": {"line": line + 5, "position": 52}})
                };
                serde_json::json!({"format": "python", "lines": 6, "tokens": 0,
                    "firstFile": place(first, *first_line), "secondFile": place(second, *second_line)})
            })
            .collect();
        let total = serde_json::json!({"lines": 100, "duplicatedLines": 6, "percentage": 6.0});
        serde_json::json!({"statistics": {"total": total}, "duplicates": duplicates}).to_string()
    }

    fn read_text(content: &str) -> Result<Duplication, ReadError> {
        let (_folder, path) = file("duplicates.json", content.as_bytes());
        read(&path)
    }

    fn hashes(places: &[(&str, u32, &str, u32)]) -> Vec<String> {
        read_text(&document(places))
            .unwrap()
            .clones
            .into_iter()
            .map(|clone| clone.hash)
            .collect()
    }

    #[test]
    fn a_clone_keeps_its_hash_while_its_lines_move() {
        let before = hashes(&[("a.py", 10, "b.py", 20), ("a.py", 50, "b.py", 60)]);
        assert_ne!(before[0], before[1]);
        assert!(before.iter().all(|hash| hash.len() == 64 && hash.bytes().all(|digit| digit.is_ascii_hexdigit())));
        assert_eq!(
            before,
            hashes(&[("b.py", 21, "a.py", 11), ("./a.py", 51, "b.py", 61)])
        );
        assert_ne!(before[0], hashes(&[("a.py", 10, "c.py", 20)])[0]);
        // Fixed: a hash in a database must not change with a new version of this program.
        assert_eq!(
            before[0],
            "acc816e039662fb087c516cfc4c86ced5dff992ab93ea575eefa70a59de58c56"
        );
    }

    #[test]
    fn tokens_come_from_positions_where_jscpd_gives_none() {
        let text = document(&[("a.py", 10, "b.py", 20)]);
        assert_eq!(read_text(&text).unwrap().clones[0].tokens, 42);
        let said = text.replace("\"tokens\":0", "\"tokens\":41");
        assert_eq!(read_text(&said).unwrap().clones[0].tokens, 41);
    }

    #[test]
    fn an_end_that_cannot_be_right_is_inferred() {
        let text = document(&[("a.py", 10, "b.py", 20)]);
        let second = |text: &str| {
            let [_, second] = read_text(text).unwrap().clones.remove(0).fragments;
            (second.start_line, second.end_line, second.end_is_inferred)
        };
        let ending_at = |position: u32| {
            let mut document: serde_json::Value = serde_json::from_str(&text).unwrap();
            document["duplicates"][0]["secondFile"]["endLoc"]["position"] = position.into();
            document.to_string()
        };
        assert_eq!(second(&text), (20, 25, false));
        assert_eq!(
            second(&text.replace("\"end\":25", "\"end\":3")),
            (20, 25, true)
        );
        for (position, inferred) in [(3, true), (20, true), (40, false), (90, false), (500, true)] {
            assert_eq!(second(&ending_at(position)).2, inferred, "{position}");
        }
    }

    #[test]
    fn faults_are_named() {
        let text = document(&[("a.py", 10, "b.py", 20), ("a.py", 10, "b.py", 20)]);
        let backwards = text.replacen("\"end\":15", "\"end\":3", 1);
        let error = read_text(&backwards).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with(": duplicates[0]: its first place ends before it starts"),
            "{error}"
        );
        let error =
            read_text(&text.replace("\"percentage\":6.0", "\"percentage\":600")).unwrap_err();
        assert!(
            matches!(error, ReadError::Fault { ref place, .. } if place == "statistics.total"),
            "{error}"
        );
        assert!(matches!(
            read_text("{}").unwrap_err(),
            ReadError::Json {
                line: 1,
                column: 2,
                ..
            }
        ));
    }
}
