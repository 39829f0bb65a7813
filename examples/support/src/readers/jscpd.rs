//! jscpd's JSON: pairs of fragments with the same code.

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
    /// The number of lines that jscpd analyzed.
    pub lines: u64,
    /// The number of lines that are a copy.
    pub duplicated_lines: u64,
    /// The percentage of lines that are a copy.
    pub percentage: f64,
}

/// Two fragments with the same tokens.
#[derive(Debug, PartialEq)]
pub struct Clone {
    /// A hash of 64 hexadecimal digits, which does not change when the lines of the clone move (see
    /// [`read`]).
    pub hash: String,
    /// jscpd's name of the language.
    pub format: String,
    /// The number of lines of the first fragment.
    pub lines: u32,
    /// The number of equal tokens.
    pub tokens: u32,
    /// The similarity in percent: always 100, since jscpd searches for equal tokens.
    pub similarity_percentage: f64,
    /// The two fragments, in jscpd's order.
    pub fragments: [Fragment; 2],
}

/// One fragment of a clone.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fragment {
    /// The file, relative to the project's root.
    pub file_path: String,
    /// First line, from 1.
    pub start_line: u32,
    /// Last line.
    pub end_line: u32,
    /// True if the last line was computed from the clone's lines, because jscpd's cannot be right
    /// (see [`read`]).
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
/// jscpd 3 writes 0 as the number of tokens of a clone. They are then computed as the distance
/// between the token positions of its first fragment, which adds up to jscpd's own total.
///
/// jscpd sometimes writes the last line of another clone for the second fragment: a line before its
/// first line, or hundreds of lines later. If the second fragment has less than half or more than
/// twice the tokens of the first, its last line is computed from its first line and the lines of
/// the clone, and is marked as such.
///
/// The report does not contain the code. The hash is therefore computed from the format, the
/// numbers of lines and tokens, the two file names in order, and the clone's number among such
/// clones. It does not change if other parts of the files change.
///
/// # Errors
/// [`ReadError::Fault`] with the index of a clone that ends before it starts, and the errors of
/// [`super::read`] for a malformed file.
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

    /// Checks whether one fragment has less than half the tokens of the other. False without
    /// positions.
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
        // The hash is fixed, since a stored hash must not change with a new version of this
        // program.
        assert_eq!(
            before[0],
            "acc816e039662fb087c516cfc4c86ced5dff992ab93ea575eefa70a59de58c56"
        );
    }

    #[test]
    fn tokens_are_computed_from_positions_if_jscpd_writes_none() {
        let text = document(&[("a.py", 10, "b.py", 20)]);
        assert_eq!(read_text(&text).unwrap().clones[0].tokens, 42);
        let said = text.replace("\"tokens\":0", "\"tokens\":41");
        assert_eq!(read_text(&said).unwrap().clones[0].tokens, 41);
    }

    #[test]
    fn an_end_that_cannot_be_right_is_computed() {
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
    fn the_error_of_an_invalid_clone_has_its_index() {
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
