//! The tokens of one login as a model: two clients present them in any order, while answers are
//! lost, processes die, and the login is ended.
//!
//! A step is atomic where PostgreSQL makes it so: each statement of a refresh locks the session and
//! its family. A refresh is up to three statements, between which anything else may happen. A
//! commit and the end of the cached entry are one step, because the rest of this program shows that
//! no entry is read that a commit has made old.
//!
//! The second client begins with a stolen refresh token, or with an answer that it intercepts. A
//! stolen session token is left out: it is the same token, and is valid until the next refresh.

use stateright::{Checker, HasDiscoveries, Model, Property};

/// The number of pairs of tokens. A grant needs one, so that it bounds the model.
const PAIRS: u8 = 5;

/// One deviation from how logins work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    /// A refresh reads the session and writes it later, without a lock or a condition.
    RotationWithoutCondition,
    /// The grace adds a pair, and the pair of the lost answer remains valid.
    GraceAddsPair,
    /// Within the grace any exchanged token is accepted.
    GraceForAll,
    /// The predecessor is accepted any number of times.
    GraceWithoutEnd,
    /// Exchanged tokens are not recorded.
    RotatedIsForgotten,
    /// A token that was exchanged is refused, and the login goes on.
    ReuseIsRefused,
    /// A refresh leaves the entry of the previous token in the cache.
    RotationLeavesEntry,
    /// An end leaves the entry in the cache.
    EndLeavesEntry,
    /// A reader fills an entry although its token ended after it was read.
    UnguardedFill,
    /// A deactivation leaves the session, which is accepted when the user is active again.
    DeactivationLeavesSession,
}

/// A session with its family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Session {
    current: u8,
    predecessor: Option<u8>,
    /// The exchanged tokens, as bits.
    rotated: u8,
    /// Pairs that are valid beside the current one: none without a flaw.
    added: u8,
}

/// The statement of a refresh that comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stage {
    Current,
    Predecessor,
    EndOfRotated,
    /// Only with a flaw: the session was read, and is written next.
    Write(Session),
    Answer(Answer),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Answer {
    Granted(u8),
    Reused,
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Client {
    refresh_token: Option<u8>,
    /// The session tokens that it has received, as bits.
    tokens: u8,
    request: Option<(u8, Stage)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct State {
    session: Option<Session>,
    is_active: bool,
    next: u8,
    clients: [Client; 2],
    /// The session tokens in the cache, as bits.
    cached: u8,
    /// The token that a reader has read, and fills next.
    filling: Option<u8>,
    /// The end of the login was acknowledged.
    has_ended: bool,
    /// How often each token was granted as the current one, and as a predecessor, as bits.
    granted: [u8; 2],
    wrong: Option<Wrong>,
    event: Option<Event>,
}

/// What a step must not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Wrong {
    /// A token was exchanged although it had been before, outside the grace.
    Again,
    /// A token that was exchanged is refused as unknown, and the login goes on.
    Unnoticed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Event {
    Recovered,
    Caught,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Present(usize),
    Run(usize),
    Receive(usize),
    /// The answer goes to the other client.
    Intercept,
    /// The answer is lost, or the process that works on the request dies.
    Lose(usize),
    Steal,
    Read(u8),
    Fill,
    EvictEntry(u8),
    Revoke,
    Deactivate,
    Activate,
}

const fn bit(token: u8) -> u8 {
    1 << token
}

impl State {
    fn accepts(&self, token: u8) -> bool {
        let is_stored = self
            .session
            .is_some_and(|session| session.current == token || session.added & bit(token) != 0);
        self.is_active && (is_stored || self.cached & bit(token) != 0)
    }

    fn is_accepted(&self, client: &Client) -> bool {
        (0..PAIRS).any(|token| client.tokens & bit(token) != 0 && self.accepts(token))
    }

    /// Ends the entries of tokens, and the fills that were begun before.
    fn end_entries(&mut self, tokens: u8, flaw: Option<Flaw>) {
        self.cached &= !tokens;
        let is_ended = |token: &u8| tokens & bit(*token) != 0;
        if flaw != Some(Flaw::UnguardedFill) && self.filling.as_ref().is_some_and(is_ended) {
            self.filling = None;
        }
    }

    fn end(&mut self, flaw: Option<Flaw>) {
        if self.session.take().is_some() && flaw != Some(Flaw::EndLeavesEntry) {
            self.end_entries(u8::MAX, flaw);
        }
    }

    /// Gives a session its next pair, in exchange for a token.
    fn rotate(&mut self, session: Session, token: u8, is_grace: bool, flaw: Option<Flaw>) -> Stage {
        let next = self.next;
        self.next += 1;
        let mut rotated = session.rotated | bit(session.current);
        if flaw == Some(Flaw::RotatedIsForgotten) {
            rotated = 0;
        }
        let added = match flaw {
            Some(Flaw::GraceAddsPair) if is_grace => session.added | bit(session.current),
            _ => session.added,
        };
        let stays = is_grace && flaw == Some(Flaw::GraceWithoutEnd);
        self.session = Some(Session {
            current: next,
            predecessor: (!is_grace)
                .then_some(session.current)
                .or(stays.then_some(token)),
            rotated,
            added,
        });
        if flaw != Some(Flaw::RotationLeavesEntry) {
            self.end_entries(bit(session.current), flaw);
        }
        let before = &mut self.granted[usize::from(is_grace)];
        let is_predecessor = session.predecessor == Some(token);
        if *before & bit(token) != 0 || is_grace && !is_predecessor {
            self.wrong = Some(Wrong::Again);
        }
        *before |= bit(token);
        Stage::Answer(Answer::Granted(next))
    }

    /// Runs the next statement of a refresh.
    fn run(&mut self, token: u8, stage: Stage, flaw: Option<Flaw>) -> Stage {
        let session = self.session.filter(|_| self.is_active);
        match stage {
            Stage::Current => match session.filter(|session| session.current == token) {
                Some(session) if flaw == Some(Flaw::RotationWithoutCondition) => {
                    Stage::Write(session)
                }
                Some(session) => self.rotate(session, token, false, flaw),
                None => Stage::Predecessor,
            },
            Stage::Write(session) => self.rotate(session, token, false, flaw),
            Stage::Predecessor => {
                let is_accepted = |session: &Session| {
                    session.predecessor == Some(token)
                        || flaw == Some(Flaw::GraceForAll) && session.rotated & bit(token) != 0
                };
                match session.filter(is_accepted) {
                    Some(session) => {
                        self.event = Some(Event::Recovered);
                        self.rotate(session, token, true, flaw)
                    }
                    None => Stage::EndOfRotated,
                }
            }
            Stage::EndOfRotated => {
                let is_rotated = |session: Session| session.rotated & bit(token) != 0;
                if !self.session.is_some_and(is_rotated) {
                    if self.session.is_some() && self.is_active {
                        self.wrong = Some(Wrong::Unnoticed);
                    }
                    return Stage::Answer(Answer::Unknown);
                }
                if flaw != Some(Flaw::ReuseIsRefused) {
                    self.end(flaw);
                }
                self.event = Some(Event::Caught);
                Stage::Answer(Answer::Reused)
            }
            Stage::Answer(_) => stage,
        }
    }

    fn receive(&mut self, client: usize, answer: Answer) {
        match answer {
            Answer::Granted(pair) => {
                let client = &mut self.clients[client];
                client.refresh_token = Some(pair);
                client.tokens |= bit(pair);
            }
            Answer::Reused => {
                self.has_ended = true;
                self.clients[client].refresh_token = None;
            }
            Answer::Unknown => self.clients[client].refresh_token = None,
        }
    }
}

#[derive(Clone, Debug)]
struct Login(Option<Flaw>);

const EXCLUSIVE: &str = "at most one client has a valid token";
const ENDED: &str = "after the acknowledged end no token is valid";
const EXCHANGED: &str = "a token is exchanged once, and once more within the grace";
const NOTICED: &str = "a token that was exchanged ends the login";
const RECOVERED: &str = "a client whose answer was lost goes on";
const CAUGHT: &str = "a stolen token is caught";

impl Model for Login {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let client = |refresh_token: Option<u8>| Client {
            refresh_token,
            tokens: refresh_token.map_or(0, bit),
            request: None,
        };
        vec![State {
            session: Some(Session {
                current: 0,
                predecessor: None,
                rotated: 0,
                added: 0,
            }),
            is_active: true,
            next: 1,
            clients: [client(Some(0)), client(None)],
            cached: 0,
            filling: None,
            has_ended: false,
            granted: [0; 2],
            wrong: None,
            event: None,
        }]
    }

    fn actions(&self, _: &State, steps: &mut Vec<Step>) {
        use Step::*;
        for client in 0..2 {
            steps.extend([Present(client), Run(client), Receive(client), Lose(client)]);
        }
        steps.extend((0..PAIRS).flat_map(|token| [Read(token), EvictEntry(token)]));
        steps.extend([Intercept, Steal, Fill, Revoke, Deactivate, Activate]);
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let (mut next, flaw) = (*last, self.0);
        next.event = None;
        match step {
            Step::Present(client) => {
                let client = &mut next.clients[client];
                let token = client.refresh_token.filter(|_| client.request.is_none())?;
                client.request = Some((token, Stage::Current));
            }
            Step::Run(client) => {
                let (token, stage) = next.clients[client].request?;
                // Without another pair the model ends.
                if next.next == PAIRS || matches!(stage, Stage::Answer(_)) {
                    return None;
                }
                let stage = next.run(token, stage, flaw);
                next.clients[client].request = Some((token, stage));
            }
            Step::Receive(client) => {
                let (_, Stage::Answer(answer)) = next.clients[client].request.take()? else {
                    return None;
                };
                next.receive(client, answer);
            }
            Step::Intercept => {
                let (_, Stage::Answer(answer)) = next.clients[0].request.take()? else {
                    return None;
                };
                next.receive(1, answer);
            }
            Step::Lose(client) => drop(next.clients[client].request.take()?),
            Step::Steal => {
                let stolen = next.clients[0].refresh_token?;
                next.clients[1].refresh_token = Some(stolen);
            }
            Step::Read(token) => {
                let is_valid = next.accepts(token) && next.cached & bit(token) == 0;
                next.filling = is_valid.then_some(Some(token))?;
            }
            Step::Fill => next.cached |= bit(next.filling.take()?),
            Step::EvictEntry(token) => next.cached &= !bit(token),
            Step::Revoke => {
                next.end(flaw);
                next.has_ended = true;
            }
            Step::Deactivate => {
                next.is_active = false;
                if flaw != Some(Flaw::DeactivationLeavesSession) {
                    next.end(flaw);
                }
                next.has_ended = true;
            }
            Step::Activate => next.is_active = true,
        }
        (next != *last).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(EXCLUSIVE, |_, state: &State| {
                let clients = state.clients.iter();
                clients.filter(|client| state.is_accepted(client)).count() <= 1
            }),
            Property::always(ENDED, |_, state: &State| {
                let mut clients = state.clients.iter();
                !state.has_ended || !clients.any(|client| state.is_accepted(client))
            }),
            Property::always(EXCHANGED, |_, state: &State| {
                state.wrong != Some(Wrong::Again)
            }),
            Property::always(NOTICED, |_, state: &State| {
                state.wrong != Some(Wrong::Unnoticed)
            }),
            Property::sometimes(RECOVERED, |_, state: &State| {
                state.event == Some(Event::Recovered)
            }),
            Property::sometimes(CAUGHT, |_, state: &State| {
                state.event == Some(Event::Caught)
            }),
        ]
    }
}

#[test]
fn no_two_clients_hold_valid_tokens_of_a_login() {
    let checker = Login(None).checker().spawn_bfs().join();
    println!("{} states", checker.unique_state_count());
    assert!(checker.unique_state_count() > 10_000);
    checker.assert_properties();
}

#[test]
fn each_flaw_of_a_login_is_caught() {
    use Flaw::*;
    for (flaw, property) in [
        (RotationWithoutCondition, EXCHANGED),
        (GraceAddsPair, EXCLUSIVE),
        (GraceForAll, EXCHANGED),
        (GraceWithoutEnd, EXCHANGED),
        (RotatedIsForgotten, NOTICED),
        (ReuseIsRefused, ENDED),
        (RotationLeavesEntry, EXCLUSIVE),
        (EndLeavesEntry, ENDED),
        (UnguardedFill, ENDED),
        (DeactivationLeavesSession, ENDED),
    ] {
        let broken = HasDiscoveries::AnyOf([property].into());
        let checker = Login(Some(flaw)).checker().finish_when(broken);
        let checker = checker.spawn_bfs().join();
        let path = checker.discovery(property);
        let path = path.unwrap_or_else(|| panic!("{flaw:?} does not break: {property}"));
        println!("{flaw:?}: {:?}", path.into_actions());
    }
}
