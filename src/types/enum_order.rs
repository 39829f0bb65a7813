//! The order of the values of some enums.

use std::cmp::Ordering;

use super::enums::{IssueSeverity, LogLevel, OrganizationRole, ProjectRole, UnknownWord, UserRole};

impl IssueSeverity {
    /// Returns the position in the database's order, or `None` for an unknown value, which sorts
    /// before all others.
    fn rank(self) -> Option<usize> {
        Self::ALL.iter().position(|severity| *severity == self)
    }

    /// Parses the severity in a cursor, which comes from outside.
    pub(crate) fn read(word: &str) -> Option<Self> {
        let unknown = || UnknownWord::known("issue_severity", word).map(Self::Unknown);
        word.parse().ok().or_else(unknown)
    }
}

/// An unknown value is greater than all others, because it may be.
impl Ord for IssueSeverity {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_rank = other.rank().cmp(&self.rank());
        by_rank.then_with(|| self.as_str().cmp(other.as_str()))
    }
}

impl PartialOrd for IssueSeverity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl LogLevel {
    /// Returns the position in the database's order, behind all others for an unknown value.
    fn rank(self) -> usize {
        let place = Self::ALL.iter().position(|level| *level == self);
        place.unwrap_or(usize::MAX)
    }
}

/// An unknown value is greater than all others, because it may be.
impl Ord for LogLevel {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_rank = self.rank().cmp(&other.rank());
        by_rank.then_with(|| self.as_str().cmp(other.as_str()))
    }
}

impl PartialOrd for LogLevel {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Orders roles by power. The enums name the most powerful role first.
macro_rules! ordered_by_power {
    ($($role:ident: $most:ident > $least:ident),+ $(,)?) => {$(
        impl $role {
            /// Returns the power: 0 for an unknown role, more for each role above it.
            fn power(self) -> usize {
                let place = Self::ALL.iter().position(|role| *role == self);
                place.map_or(0, |place| Self::ALL.len() - place)
            }
        }

        const _: () = assert!(
            matches!($role::ALL[0], $role::$most)
                && matches!($role::ALL[$role::ALL.len() - 1], $role::$least)
        );

        /// Compares the power of two roles. An unknown role is less than all others, so that it
        /// grants nothing.
        ///
        /// ```
        #[doc = concat!("use wundr_db::", stringify!($role), ";")]
        ///
        #[doc = concat!(
            "assert!(", stringify!($role), "::", stringify!($most), " >= ",
            stringify!($role), "::", stringify!($least), ");"
        )]
        /// ```
        impl Ord for $role {
            fn cmp(&self, other: &Self) -> Ordering {
                let by_power = self.power().cmp(&other.power());
                by_power.then_with(|| self.as_str().cmp(other.as_str()))
            }
        }

        impl PartialOrd for $role {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }
    )+};
}

ordered_by_power! {
    UserRole: Admin > Viewer,
    OrganizationRole: Owner > Viewer,
    ProjectRole: Owner > Viewer,
}

#[cfg(test)]
mod tests {
    use super::{OrganizationRole, ProjectRole, UnknownWord, UserRole};

    #[test]
    fn a_role_is_greater_than_those_with_less_power() {
        use UserRole::{Admin, Developer, Manager, Viewer};
        assert!(Admin > Manager && Manager > Developer && Developer > Viewer);
        assert!(ProjectRole::Owner > ProjectRole::Maintainer);
        assert!(ProjectRole::Maintainer > ProjectRole::Contributor);
        assert!(ProjectRole::Contributor > ProjectRole::Viewer);
        assert!(OrganizationRole::Owner > OrganizationRole::Admin);
        assert!(OrganizationRole::Admin > OrganizationRole::Member);
        assert!(OrganizationRole::Member > OrganizationRole::Viewer);
        assert!(None < Some(ProjectRole::Viewer));
    }

    #[test]
    fn an_unknown_role_grants_nothing() {
        let unknown = ProjectRole::Unknown(UnknownWord("superuser"));
        assert!(ProjectRole::ALL.iter().all(|role| unknown < *role));
        let other = ProjectRole::Unknown(UnknownWord("auditor"));
        assert!(other < unknown && unknown != other);
    }
}
