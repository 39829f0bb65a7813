//! The values of the rows: a version and its writer.

use crate::event::Seen;
use wundr_db::ProjectRole;

/// A version that is always rolled back.
pub const POISON: u64 = u64::MAX;

/// A version as a row's text.
pub fn text(version: u64, writer: u64) -> String {
    format!("{version}:{writer}")
}

/// The content of a row's text.
pub fn seen(text: &str) -> Seen {
    let (version, writer) = text.split_once(':').expect("a version and a writer");
    Seen::Exactly {
        version: version.parse().unwrap(),
        writer: writer.parse().unwrap(),
    }
}

/// Of which class a version is whose session is there, and one whose session is not.
pub const PRESENT: u8 = 1;
pub const ABSENT: u8 = 2;

/// The session is there in every other version.
pub fn session_class(version: u64) -> u8 {
    if version % 2 == 1 { PRESENT } else { ABSENT }
}

/// The role of a version: one after the other.
pub fn role(version: u64) -> ProjectRole {
    ROLES[(version % ROLES.len() as u64) as usize]
}

const ROLES: [ProjectRole; 3] = [
    ProjectRole::Viewer,
    ProjectRole::Contributor,
    ProjectRole::Maintainer,
];

pub fn role_class(version: u64) -> u8 {
    (version % ROLES.len() as u64) as u8
}

/// Of which class the versions are that have this role.
pub fn class_of(role: Option<ProjectRole>) -> u8 {
    let class = ROLES.iter().position(|other| Some(*other) == role);
    class.map_or(u8::MAX, |class| class as u8)
}
