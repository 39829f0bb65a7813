use super::*;

fn refusal(state: &mut TxState) -> Option<String> {
    match state.before_commit(Some(1)) {
        BeforeCommit::Refuse(error) => Some(error.to_string()),
        _ => None,
    }
}

#[test]
fn a_transaction_without_incidents_is_committed_and_ends() {
    let mut state = TxState::new(false);
    assert!(matches!(
        state.before_commit(Some(1)),
        BeforeCommit::Nothing
    ));
    assert!(state.can_roll_back() && !state.has_ended());
    state.commit_ended(None);
    assert!(state.has_ended());
    for depth in [None, Some(0), Some(2)] {
        let step = state.before_commit(depth);
        assert!(matches!(step, BeforeCommit::Refuse(_)), "{depth:?}");
    }
    // A refused commit ends the transaction if the connection can be used again.
    state.commit_ended(Some(Verdict::Retire));
    assert!(!state.has_ended());
    state.commit_ended(Some(Verdict::Keep));
    assert!(state.has_ended());
}

#[test]
fn a_failed_statement_refuses_the_commit_until_its_savepoint_is_rolled_back() {
    let mut state = TxState::new(false);
    let savepoint = state.begin_savepoint().unwrap();
    state.savepoint_begun();
    state.record_error(&diesel::result::Error::NotFound);
    assert!(!state.has_failed());
    state.record_error(&diesel::result::Error::BrokenTransactionManager);
    assert!(state.end_savepoint().is_some());
    state.savepoint_ended(&savepoint, true);
    assert!(matches!(
        state.before_commit(Some(1)),
        BeforeCommit::Nothing
    ));

    state.set_failed();
    assert!(refusal(&mut state).is_some_and(|text| text.contains("had failed")));
    assert!(state.can_roll_back());
}

#[test]
fn a_savepoint_that_has_not_ended_refuses_the_commit_and_the_rollback() {
    let mut state = TxState::new(false);
    let outer = state.begin_savepoint().unwrap();
    // Its future was dropped while the server began it.
    assert!(state.begin_savepoint().is_err());
    assert!(!state.is_innermost(&outer));
    state.savepoint_begun();
    assert!(state.is_innermost(&outer));

    let inner = state.begin_savepoint().unwrap();
    state.savepoint_begun();
    assert!(!state.is_innermost(&outer));
    assert!(state.end_savepoint().is_none());
    // The server did not end it.
    state.savepoint_ended(&inner, false);
    assert!(!state.is_innermost(&outer));
    assert!(refusal(&mut state).is_some_and(|text| text.contains("savepoint")));
    assert!(!state.can_roll_back());
}

#[test]
fn a_refused_savepoint_leaves_the_transaction_as_it_was() {
    let mut state = TxState::new(false);
    state.statement_abandoned.set();
    let savepoint = state.begin_savepoint().unwrap();
    assert_eq!(savepoint.depth(), 2);
    state.savepoint_refused(&savepoint);
    assert_eq!(state.savepoints, 0);
    assert!(refusal(&mut state).is_some_and(|text| text.contains("statement")));
}

#[cfg(feature = "async")]
#[test]
fn an_abandoned_statement_is_undone_by_the_savepoint_around_it_only() {
    let mut state = TxState::new(false);
    let savepoint = state.begin_savepoint().unwrap();
    state.savepoint_begun();
    state.leave_trace(Trace::StatementAbandoned);
    assert!(
        state
            .end_savepoint()
            .is_some_and(|error| error.to_string().contains("statement"))
    );
    state.savepoint_ended(&savepoint, true);
    assert!(matches!(
        state.before_commit(Some(1)),
        BeforeCommit::Nothing
    ));

    state.leave_trace(Trace::StatementAbandoned);
    let savepoint = state.begin_savepoint().unwrap();
    state.savepoint_begun();
    assert!(state.end_savepoint().is_none());
    state.savepoint_ended(&savepoint, true);
    assert!(refusal(&mut state).is_some());
    assert!(!state.can_roll_back());
}

#[cfg(feature = "async")]
#[test]
fn an_unobserved_error_is_looked_for_before_the_commit() {
    let mut state = TxState::new(false);
    state.leave_trace(Trace::ErrorUnobserved);
    assert!(matches!(state.before_commit(Some(1)), BeforeCommit::Probe));
    assert!(!state.can_roll_back());
}

#[test]
fn a_lent_connection_is_restored_before_the_commit_and_its_writes_are_looked_for() {
    let mut state = TxState::new(true);
    state.lend();
    assert!(matches!(
        state.before_commit(Some(1)),
        BeforeCommit::RestoreSession
    ));
    assert!(!state.can_roll_back());
    assert!(
        state
            .take_write_set()
            .is_some_and(|set| set.has_own_statements())
    );
}

#[test]
fn a_call_that_has_not_ended_refuses_the_commit() {
    let mut state = TxState::new(false);
    state.enter(Hold::Alone).unwrap();
    assert!(state.enter(Hold::Shared).is_err());
    assert!(refusal(&mut state).is_some_and(|text| text.contains("statement")));
    assert!(!state.can_roll_back());
    state.leave(Hold::Alone);
    assert!(matches!(
        state.before_commit(Some(1)),
        BeforeCommit::Nothing
    ));
}
