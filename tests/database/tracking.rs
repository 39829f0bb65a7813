//! Properties of tracking: whatever the findings and whatever is done to the code, each finding is
//! matched at most once, with one of its rule, and as many are as can be. A verdict follows only
//! what the code or the line says is the same, and never to something worse.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Debug;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use wundr_db::blocking::{
    AnalysisIssueRepository, AnalysisRepository, Db, ProjectRepository, UserRepository,
};
use wundr_db::testing::{TestDatabase, migrated_database};
use wundr_db::{
    AnalysisId, AnalysisIssueFilter, AnalysisIssueId, AnalysisType, IssueSeverity, IssueStatus,
    IssueType, NewAnalysis, NewAnalysisIssue, NewProject, NewUser, ProjectId, Tracking, UserId,
};

/// A finding, of few rules, files, messages and pieces of code, so that many are equal.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    rule: u8,
    file: String,
    line: i32,
    message: u8,
    code: Option<u8>,
    severity: IssueSeverity,
    status: IssueStatus,
}

impl Seen {
    /// Checks whether a verdict on `base` may hold for this one: the code or the line says so, and
    /// it is no worse.
    fn inherits_from(&self, base: &Self) -> bool {
        let is_same_code = self.code.is_some() && self.code == base.code;
        let is_same_line = (&self.file, self.line) == (&base.file, base.line);
        (is_same_code || is_same_line) && self.severity <= base.severity
    }

    /// Its identity, which does not depend on its place.
    fn identity(&self) -> (u8, u8, Option<u8>) {
        (self.rule, self.message, self.code)
    }

    fn row(&self, analysis: AnalysisId, user: UserId) -> NewAnalysisIssue {
        let (kind, severity) = (IssueType::Maintainability, self.severity);
        let message = ["alpha", "beta", "gamma"][usize::from(self.message)];
        let mut row = NewAnalysisIssue::new(analysis, kind, severity, message, &*self.file);
        row.rule_id = (self.rule > 0).then(|| format!("R{}", self.rule));
        row.line_number = Some(self.line);
        row.code_snippet = self.code.map(|code| format!("call({code});"));
        row.status = Some(self.status);
        row.resolved_by = (self.status != IssueStatus::Open).then_some(user);
        row
    }
}

/// Something that is done to the code.
#[derive(Debug, Clone)]
enum Edit {
    InsertLines {
        file: u8,
        above: i32,
        lines: i32,
    },
    Rename {
        file: u8,
    },
    Drop {
        place: prop::sample::Index,
    },
    Duplicate {
        place: prop::sample::Index,
    },
    Reword {
        place: prop::sample::Index,
        message: u8,
    },
    Regrade {
        place: prop::sample::Index,
        severity: IssueSeverity,
    },
}

fn path(file: u8) -> String {
    format!("src/{file}.rs")
}

fn edited(base: &[Seen], edits: &[Edit]) -> Vec<Seen> {
    let mut seen = base.to_vec();
    for edit in edits {
        match edit {
            Edit::InsertLines { file, above, lines } => {
                let below = |seen: &&mut Seen| seen.file == path(*file) && seen.line >= *above;
                seen.iter_mut()
                    .filter(below)
                    .for_each(|seen| seen.line += lines);
            }
            Edit::Rename { file } => {
                let inside = seen.iter_mut().filter(|seen| seen.file == path(*file));
                inside.for_each(|seen| seen.file = format!("lib/{file}.rs"));
            }
            _ if seen.is_empty() => {}
            Edit::Drop { place } => {
                seen.remove(place.index(seen.len()));
            }
            Edit::Duplicate { place } => {
                let mut copy = seen[place.index(seen.len())].clone();
                copy.line += 1;
                seen.push(copy);
            }
            Edit::Reword { place, message } => {
                let place = place.index(seen.len());
                seen[place].message = *message;
            }
            Edit::Regrade { place, severity } => {
                let place = place.index(seen.len());
                seen[place].severity = *severity;
            }
        }
    }
    seen.iter_mut()
        .for_each(|seen| seen.status = IssueStatus::Open);
    seen
}

fn findings() -> impl Strategy<Value = Vec<Seen>> {
    let status = prop::sample::select(IssueStatus::ALL);
    let code = prop::option::of(0..2_u8);
    let finding = (0..3_u8, 0..3_u8, 1..12, 0..3_u8, code, severity(), status);
    let finding = finding.prop_map(|(rule, file, line, message, code, severity, status)| Seen {
        rule,
        file: path(file),
        line,
        message,
        code,
        severity,
        status,
    });
    prop::collection::vec(finding, 0..25)
}

fn severity() -> impl Strategy<Value = IssueSeverity> {
    prop::sample::select(vec![IssueSeverity::Low, IssueSeverity::High])
}

fn insertion() -> impl Strategy<Value = Edit> {
    (0..3_u8, 1..12, 1..9).prop_map(|(file, above, lines)| Edit::InsertLines { file, above, lines })
}

fn renaming() -> impl Strategy<Value = Edit> {
    (0..3_u8).prop_map(|file| Edit::Rename { file })
}

fn edit() -> impl Strategy<Value = Edit> {
    let place = any::<prop::sample::Index>;
    prop_oneof![
        insertion(),
        renaming(),
        place().prop_map(|place| Edit::Drop { place }),
        place().prop_map(|place| Edit::Duplicate { place }),
        (place(), 0..3_u8).prop_map(|(place, message)| Edit::Reword { place, message }),
        (place(), severity()).prop_map(|(place, severity)| Edit::Regrade { place, severity }),
    ]
}

fn edits(edit: impl Strategy<Value = Edit>) -> impl Strategy<Value = Vec<Edit>> {
    prop::collection::vec(edit, 0..8)
}

struct World {
    db: Db,
    user: UserId,
    project: ProjectId,
    _database: TestDatabase,
}

type Places = HashMap<AnalysisIssueId, usize>;

/// Pairs of places in the two lists.
type Pairs = BTreeSet<(usize, usize)>;

impl World {
    fn new() -> Self {
        let database = migrated_database().unwrap();
        let db = Db::connect_to(&database.url()).unwrap();
        let user = db
            .users()
            .create(NewUser::new("ada@example.org", "Ada"))
            .unwrap()
            .id;
        let project = db
            .projects()
            .create(NewProject::new("Lab", user))
            .unwrap()
            .id;
        Self {
            db,
            user,
            project,
            _database: database,
        }
    }

    fn analyzed(&self, seen: &[Seen]) -> (AnalysisId, Places) {
        let new = NewAnalysis::new(self.project, AnalysisType::Quality, self.user);
        let analysis = self.db.analyses().create(new).unwrap().id;
        let rows: Vec<_> = seen
            .iter()
            .map(|seen| seen.row(analysis, self.user))
            .collect();
        self.db.analysis_issues().create_many(&rows).unwrap();
        let places = rows.iter().enumerate().map(|(place, row)| (row.id, place));
        (analysis, places.collect())
    }

    /// Tracks `base` in `new`, and checks all that always holds. Returns the pairs that are
    /// unchanged, and those that moved.
    fn tracked(&self, base: &[Seen], new: &[Seen]) -> (Pairs, Pairs) {
        let (before, of_base) = self.analyzed(base);
        let (after, of_new) = self.analyzed(new);
        let issues = self.db.analysis_issues();
        let tracking = issues.track(before, after).unwrap();
        each_is_in_one_place(&tracking, &of_base, &of_new);

        let places = |pairs: &[wundr_db::TrackedIssue]| -> Pairs {
            let pairs = pairs.iter();
            pairs
                .map(|pair| (of_base[&pair.base], of_new[&pair.new]))
                .collect()
        };
        let (unchanged, moved) = (places(&tracking.unchanged), places(&tracking.moved));
        let mut expected: Vec<_> = new.iter().map(|seen| seen.status).collect();
        for (pairs, stays) in [(&unchanged, true), (&moved, false)] {
            for &(old, now) in pairs {
                let (old, place) = (&base[old], now);
                let now = &new[now];
                assert_eq!(old.rule, now.rule);
                assert_eq!((&old.file, old.line) == (&now.file, now.line), stays);
                let is_judged = matches!(
                    old.status,
                    IssueStatus::Ignored | IssueStatus::FalsePositive
                );
                if is_judged && now.inherits_from(old) {
                    expected[place] = old.status;
                }
            }
        }
        let carried = expected
            .iter()
            .filter(|status| **status != IssueStatus::Open);
        assert_eq!(tracking.carried_over, carried.count() as u64);
        assert_eq!(self.statuses(after, &of_new), expected);

        let mut again = issues.track(before, after).unwrap();
        let carried = std::mem::replace(&mut again.carried_over, tracking.carried_over);
        assert_eq!((carried, &again), (0, &tracking));
        assert_eq!(self.statuses(after, &of_new), expected);
        let (third, of_third) = self.analyzed(new);
        let same = issues.track(after, third).unwrap();
        assert_eq!(same.unchanged.len(), new.len());
        assert_eq!(self.statuses(third, &of_third), expected);
        (unchanged, moved)
    }

    fn statuses(&self, analysis: AnalysisId, places: &Places) -> Vec<IssueStatus> {
        let ids: BTreeMap<_, _> = places.iter().map(|(id, place)| (*place, *id)).collect();
        let ids: Vec<_> = ids.into_values().collect();
        let rows = self.db.analysis_issues().find_many(&ids).unwrap();
        let of_analysis = AnalysisIssueFilter::new().analysis_id(analysis);
        let count = self.db.analysis_issues().count(&of_analysis).unwrap();
        assert_eq!(count, ids.len() as u64);
        rows.into_iter().map(|row| row.unwrap().status).collect()
    }
}

fn each_is_in_one_place(tracking: &Tracking, base: &Places, new: &Places) {
    let pairs = || tracking.unchanged.iter().chain(&tracking.moved);
    let of_base = pairs()
        .map(|pair| pair.base)
        .chain(tracking.fixed.iter().copied());
    let of_new = pairs()
        .map(|pair| pair.new)
        .chain(tracking.new.iter().copied());
    for (found, all) in [(of_base.collect::<Vec<_>>(), base), (of_new.collect(), new)] {
        assert_eq!(found.len(), all.len());
        assert_eq!(found.iter().collect::<BTreeSet<_>>(), all.keys().collect());
    }
}

fn hold<T: Debug>(cases: u32, strategy: impl Strategy<Value = T>, property: impl Fn(&World, T)) {
    let world = World::new();
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    TestRunner::new(config)
        .run(&strategy, |input| {
            property(&world, input);
            Ok(())
        })
        .unwrap();
}

fn itself(seen: &[Seen]) -> Pairs {
    (0..seen.len()).map(|place| (place, place)).collect()
}

#[test]
fn the_same_findings_are_unchanged() {
    hold(30, findings(), |world, base| {
        let (unchanged, moved) = world.tracked(&base, &edited(&base, &[]));
        assert_eq!((unchanged, moved), (itself(&base), Pairs::new()));
    });
}

#[test]
fn lines_inserted_above_leave_each_finding_what_it_was() {
    hold(
        60,
        (findings(), edits(insertion())),
        |world, (base, edits)| {
            let (mut pairs, moved) = world.tracked(&base, &edited(&base, &edits));
            pairs.extend(moved);
            assert_eq!(pairs, itself(&base));
        },
    );
}

#[test]
fn findings_of_renamed_files_have_moved() {
    hold(
        60,
        (findings(), edits(renaming())),
        |world, (base, edits)| {
            let new = edited(&base, &edits);
            let (unchanged, moved) = world.tracked(&base, &new);
            assert_eq!(unchanged.len() + moved.len(), base.len());
            for &(old, now) in unchanged.iter().chain(&moved) {
                assert_eq!(base[old].identity(), new[now].identity());
            }
            let renamed = new.iter().filter(|seen| seen.file.starts_with("lib/"));
            assert_eq!(moved.len(), renamed.count());
        },
    );
}

/// The number of each kind.
fn counted<K: Ord>(keys: impl Iterator<Item = K>) -> BTreeMap<K, usize> {
    let mut counts = BTreeMap::new();
    for key in keys {
        *counts.entry(key).or_default() += 1;
    }
    counts
}

#[test]
fn as_many_equal_findings_are_matched_as_there_are() {
    hold(200, (findings(), edits(edit())), |world, (base, edits)| {
        let new = edited(&base, &edits);
        let (unchanged, moved) = world.tracked(&base, &new);
        // Files that only one analysis has can stand for each other.
        let files =
            |seen: &[Seen]| -> BTreeSet<_> { seen.iter().map(|seen| seen.file.clone()).collect() };
        let (of_base, of_new) = (files(&base), files(&new));
        let key = |seen: &Seen| {
            let in_both = of_base.contains(&seen.file) && of_new.contains(&seen.file);
            (in_both.then(|| seen.file.clone()), seen.identity())
        };
        let (in_base, in_new) = (counted(base.iter().map(key)), counted(new.iter().map(key)));
        let pairs = unchanged.iter().chain(&moved);
        let equal = pairs.filter(|(old, now)| key(&base[*old]) == key(&new[*now]));
        let matched = counted(equal.map(|(old, _)| key(&base[*old])));
        for (key, count) in in_base {
            let possible = count.min(in_new.get(&key).copied().unwrap_or_default());
            assert_eq!(
                matched.get(&key).copied().unwrap_or_default(),
                possible,
                "{key:?}"
            );
        }
    });
}
