//! A project's releases by date, each with its directory of reports.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{ReadError, Report, lizard, source};

/// One release of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Its version.
    pub version: String,
    /// The date of its release in UTC, such as `2019-07-04`.
    pub released: String,
    /// The directory of its reports.
    pub folder: PathBuf,
}

impl Release {
    /// Reads the reports of this release.
    ///
    /// # Errors
    /// As [`super::read`].
    pub fn read(&self) -> Result<Report, ReadError> {
        super::read(&self.folder)
    }
}

/// Returns the directory of Flask's releases.
pub fn flask() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/flask")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    release: String,
    released: String,
}

/// Reads the releases in `folder/releases.csv` (columns `release,released`), by date, earliest
/// first.
///
/// A version with a smaller number can be the later one.
///
/// # Errors
/// - [`ReadError::Csv`] for an entry with an invalid date, a version that cannot be a directory's
///   name, or a version that is listed twice
/// - [`ReadError::Io`] if the file is missing
pub fn history(folder: &Path) -> Result<Vec<Release>, ReadError> {
    let path = folder.join("releases.csv");
    let mut entries = csv::Reader::from_reader(source::open(&path)?);
    let mut releases: Vec<Release> = Vec::new();
    for (record, entry) in (2..).zip(entries.deserialize()) {
        let Entry {
            release: version,
            released,
        } = entry.map_err(|error| lizard::from_csv(&path, record, error))?;
        let reason = if !is_date(&released) {
            Some(format!("{released:?} is not a date such as 2019-07-04"))
        } else if version.is_empty()
            || version.starts_with('.')
            || version.contains(['/', '\\', '\0'])
        {
            Some(format!("{version:?} is not a version"))
        } else if releases.iter().any(|earlier| earlier.version == version) {
            Some(format!("{version} is listed twice"))
        } else {
            None
        };
        if let Some(reason) = reason {
            return Err(ReadError::Csv {
                path,
                record,
                reason,
            });
        }
        releases.push(Release {
            folder: folder.join(&version),
            version,
            released,
        });
    }
    releases.sort_by(|one, other| one.released.cmp(&other.released));
    Ok(releases)
}

/// Checks whether `text` is a date of the Gregorian calendar in the form `YYYY-MM-DD`.
fn is_date(text: &str) -> bool {
    let is_digit_or_dash = |(at, byte): (usize, u8)| {
        if at == 4 || at == 7 {
            byte == b'-'
        } else {
            byte.is_ascii_digit()
        }
    };
    if text.len() != 10 || !text.bytes().enumerate().all(is_digit_or_dash) {
        return false;
    }
    let number = |from: usize, to: usize| text[from..to].parse::<u32>().unwrap_or(0);
    let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => 0,
    };
    (1..=days).contains(&day)
}

#[cfg(test)]
mod tests {
    use super::super::source::tests::file;
    use super::*;

    #[test]
    fn flask_is_ordered_by_date_and_not_by_version() {
        let releases = history(&flask()).unwrap();
        let versions: Vec<&str> = releases
            .iter()
            .map(|release| release.version.as_str())
            .collect();
        assert_eq!(
            versions,
            [
                "1.0.4", "0.12.5", "1.1.4", "2.0.3", "2.1.3", "2.2.5", "2.3.3", "3.0.3", "3.1.2"
            ]
        );
        assert_eq!(releases[0].released, "2019-07-04");
        assert_eq!(releases[8].released, "2025-08-19");
    }

    #[test]
    fn the_error_of_an_invalid_entry_has_its_record_number() {
        for (entries, record) in [
            ("release,released\n1.0,2020-01-01\n1.1,2020-02-30\n", 3),
            ("release,released\n1.0,01/02/2020\n", 2),
            ("release,released\n../1.0,2020-01-01\n", 2),
            ("release,released\n1.0,2020-01-01\n1.0,2020-01-02\n", 3),
            ("release,released\n1.0\n", 2),
            ("version,date\n1.0,2020-01-01\n", 2),
        ] {
            let (folder, _) = file("releases.csv", entries.as_bytes());
            let error = history(folder.path()).unwrap_err();
            assert!(
                matches!(error, ReadError::Csv { record: found, .. } if found == record),
                "{entries}: {error}"
            );
        }
        let (folder, _) = file("other.csv", b"");
        assert!(matches!(
            history(folder.path()).unwrap_err(),
            ReadError::Io { .. }
        ));
    }

    #[test]
    fn a_date_must_exist_in_the_calendar() {
        assert!(
            ["2020-02-29", "2000-02-29", "2024-12-31"]
                .into_iter()
                .all(is_date)
        );
        let wrong = [
            "2019-02-29",
            "1900-02-29",
            "2020-13-01",
            "2020-00-10",
            "2020-01-00",
            "2020-1-1",
            "2020-01-0é",
        ];
        assert!(!wrong.into_iter().any(is_date));
    }
}
