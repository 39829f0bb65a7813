use super::*;

#[test]
fn an_id_is_read_as_it_is_written() {
    for open in [0, 1, MOST_OPEN] {
        let seen = Seen {
            at: DateTime::from_timestamp_micros(1_700_000_000_123_456).unwrap(),
            open: Some((0..open).map(|_| AnalysisId::new()).collect()),
        };
        let text = seen.to_string();
        assert_eq!(text.parse::<LastEventId>().unwrap().0, Some(seen));
    }
    let many = Seen {
        at: DateTime::UNIX_EPOCH,
        open: None,
    };
    assert_eq!(
        many.to_string().parse::<LastEventId>().unwrap().0,
        Some(many)
    );
}

/// A handler must not panic because of it, nor the database refuse it.
#[test]
fn an_id_with_a_time_that_was_never_sent_is_refused() {
    let (first, last) = (DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
    for at in [
        first,
        first + TimeDelta::minutes(4),
        last,
        DateTime::UNIX_EPOCH - LEEWAY,
    ] {
        let open = Some(BTreeSet::new());
        let text = Seen { at, open }.to_string();
        assert!(text.parse::<LastEventId>().is_err(), "{at}");
    }
}

#[test]
fn a_damaged_id_is_refused() {
    for text in [
        "",
        "x",
        "AQ",
        "%%%",
        &"A".repeat(100_000),
        "AQAAAAAAAAAAAAAA",
    ] {
        assert!(text.parse::<LastEventId>().is_err(), "{text:.20}");
    }
}

fn row(status: crate::AnalysisStatus) -> LiveAnalysis {
    LiveAnalysis {
        id: AnalysisId::new(),
        project_id: crate::ProjectId::new(),
        r#type: crate::AnalysisType::Quality,
        status,
        progress: 0,
        findings: 0,
    }
}

/// A response that begins with nothing and follows these events.
fn following(live: Vec<LiveEvent>) -> EventStream {
    EventStream {
        first: VecDeque::new(),
        live: Box::pin(futures_util::stream::iter(live)),
        open: BTreeSet::new(),
        complete_at: None,
        is_complete: false,
        keep_alive: tokio::time::interval(KEEP_ALIVE),
    }
}

/// Returns what a client has seen after each event, and the data of the events.
async fn sent(stream: EventStream) -> Vec<(Seen, String)> {
    let texts: Vec<_> = stream.map(Result::unwrap).collect().await;
    let read = |text: Bytes| {
        let text = String::from_utf8(text.to_vec()).unwrap();
        let (id, rest) = text.strip_prefix("id: ").unwrap().split_once('\n').unwrap();
        let (_, data) = rest.trim_end().split_once("\ndata: ").unwrap();
        let seen = id.parse::<LastEventId>().unwrap().0.unwrap();
        (seen, data.to_owned())
    };
    texts.into_iter().map(read).collect()
}

/// The server's address is not for a client, and what a client has missed is read again from
/// the time at which its view was complete.
#[tokio::test]
async fn an_id_has_the_last_complete_view() {
    let open = row(crate::AnalysisStatus::Running);
    let ended = LiveAnalysis {
        status: crate::AnalysisStatus::Completed,
        ..open.clone()
    };
    let other = row(crate::AnalysisStatus::Pending);
    let (id, project_id) = (other.id, other.project_id);
    let missed = LiveEvent::Missed {
        reason: "db.internal closed the connection".to_owned(),
        discarded: 0,
    };
    let sent = sent(following(vec![
        LiveEvent::Changed(open.clone()),
        LiveEvent::Resumed,
        missed,
        LiveEvent::Changed(other.clone()),
        LiveEvent::Resumed,
        LiveEvent::Changed(ended),
        LiveEvent::Deleted { id, project_id },
    ]))
    .await;
    let view = |number: usize| sent[number].0.open.clone();
    assert_eq!(view(0), None, "the view is not complete");
    assert_eq!(view(1), Some([open.id].into()));
    assert_eq!(sent[2].0, sent[1].0, "nothing was seen in the gap");
    assert_eq!(sent[2].1, "{}");
    assert_eq!(sent[3].0.at, sent[1].0.at);
    assert_eq!(view(4), Some([open.id, other.id].into()));
    assert_eq!(view(5), Some([other.id].into()));
    assert_eq!(view(6), Some(BTreeSet::new()));
    let deleted = json!({"id": id, "project_id": project_id}).to_string();
    assert_eq!(sent[6].1, deleted);
}

#[tokio::test]
async fn a_view_of_too_many_open_analyses_is_not_in_an_id() {
    let rows: Vec<_> = (0..=MOST_OPEN)
        .map(|_| row(crate::AnalysisStatus::Running))
        .collect();
    let ended = LiveAnalysis {
        status: crate::AnalysisStatus::Failed,
        ..rows[0].clone()
    };
    let mut events = vec![LiveEvent::Resumed];
    events.extend(rows.into_iter().map(LiveEvent::Changed));
    events.push(LiveEvent::Changed(ended));
    let sent = sent(following(events)).await;
    let sizes: Vec<_> = sent
        .iter()
        .map(|(seen, _)| seen.open.as_ref().map(BTreeSet::len))
        .collect();
    assert_eq!(sizes[MOST_OPEN..], [Some(MOST_OPEN), None, Some(MOST_OPEN)]);
}

#[tokio::test]
async fn a_connection_without_events_is_kept_open() {
    let mut stream = EventStream {
        live: Box::pin(futures_util::stream::pending()),
        ..following(Vec::new())
    };
    let sent = tokio::time::timeout(KEEP_ALIVE, stream.next()).await;
    assert_eq!(sent.unwrap().unwrap().unwrap(), ":\n\n");
}
