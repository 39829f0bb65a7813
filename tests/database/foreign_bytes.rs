//! Bytes of foreign origin panic nowhere: the bodies of the fuzz targets, on inputs that are the
//! same each time.
//!
//! `fuzz` is a package of its own, which runs the same bodies on inputs that libFuzzer chooses.

#[path = "../../fuzz/bodies.rs"]
mod bodies;
#[path = "../../fuzz/sarif.rs"]
mod sarif;

/// Xorshift, so that a failure comes again.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn byte(&mut self) -> u8 {
        // Those that begin something in the formats read here are more frequent.
        const SPECIAL: &[u8] = b"\0\x01\x7f\x80\xff\xc0\xc4\xd9\xdc\xddeE-.0/9?&=%@:,[]{}\"\\ \n";
        match self.below(2) {
            0 => SPECIAL[self.below(SPECIAL.len())],
            _ => self.next() as u8,
        }
    }

    /// Changes an input at up to four places.
    fn mutate(&mut self, input: &[u8], other: &[u8]) -> Vec<u8> {
        let mut bytes = input.to_vec();
        for _ in 0..self.below(5) {
            let at = self.below(bytes.len() + 1);
            match self.below(7) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, self.byte()),
                2 if at < bytes.len() => bytes[at] = self.byte(),
                3 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                4 if at < bytes.len() => {
                    let end = at + 1 + self.below((bytes.len() - at).min(16));
                    bytes.drain(at..end.min(bytes.len()));
                }
                5 => {
                    let part = &other[self.below(other.len() + 1)..];
                    let part = &part[..self.below(part.len() + 1)];
                    bytes.splice(at..at, part.iter().copied());
                }
                _ => {
                    let copied = bytes[at..].to_vec();
                    bytes.extend_from_slice(&copied[..self.below(copied.len().min(64) + 1)]);
                }
            }
        }
        bytes
    }
}

/// Runs a body on its examples, on changes of them, and on noise.
fn run(body: fn(&[u8]), examples: &[&[u8]], inputs: usize) {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    examples.iter().for_each(|example| body(example));
    for _ in 0..inputs {
        let input = match random.below(8) {
            0 => {
                let length = random.below(64);
                (0..length).map(|_| random.byte()).collect()
            }
            _ => {
                let [one, other] = [0, 1].map(|_| examples[random.below(examples.len())]);
                random.mutate(one, other)
            }
        };
        let copy = input.clone();
        let outcome = std::panic::catch_unwind(move || body(&copy));
        assert!(
            outcome.is_ok(),
            "{input:?} ({})",
            String::from_utf8_lossy(&input)
        );
    }
}

#[test]
fn a_cursor() {
    let examples: [&[u8]; 6] = [
        br#"["users.created_at",1700000000000000,"01890a5d-ac96-774b-bcce-b302099a8057"]"#,
        br#"["users.created_at",9223372036854775807,"01890a5d-ac96-774b-bcce-b302099a8057"]"#,
        br#"["users.email","ada@example.org","01890a5d-ac96-774b-bcce-b302099a8057"]"#,
        br#"["analysis_metrics.metric_value","1.5e400","01890a5d-ac96-774b-bcce-b302099a8057"]"#,
        br#"["analysis_issues.severity","high","01890a5d-ac96-774b-bcce-b302099a8057"]"#,
        b"WyJ1c2Vycy5lbWFpbCIsImEiLCIwMTg5MGE1ZC1hYzk2LTc3NGItYmNjZS1iMzAyMDk5YTgwNTciXQ",
    ];
    run(bodies::cursor, &examples, 100_000);
}

#[test]
fn a_url_of_a_database() {
    let examples: [&[u8]; 8] = [
        b"postgres://ada:secret@localhost:5432/wundr?sslmode=verify-full&sslrootcert=system",
        b"postgresql://[::1]:5432,pg2/db?target_session_attrs=read-write&connect_timeout=2",
        b"postgres:///db?host=/var/run/postgresql&port=5433",
        b"host=localhost dbname='a b' password=\\'x",
        b"localhost/db?options=-c%20statement_timeout%3D5s&application_name=a",
        b"connect_timeout=99999999999999999999&keepalives_idle=-1&tcp_user_timeout=0",
        b"sslmode=prefer&sslcert=/nonexistent&sslkey=/nonexistent&sslcrl=/nonexistent",
        b"postgres://user@h:1/d?hostaddr=10.0.0.1&load_balance_hosts=random",
    ];
    run(bodies::url, &examples, 20_000);
}

#[test]
fn a_value_of_the_cache() {
    let payloads = wundr_db::foreign::cache_payloads();
    let examples: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
    assert_eq!(examples.len(), 5);
    run(bodies::cache_entry, &examples, 20_000);
}

#[test]
fn a_reply_of_redis() {
    let examples: [&[u8]; 4] = [
        b"\x16\x14\x24\x0212345678",
        b"\x1e\x12\x22\x1a1,2,3,4 5,6,7,8",
        b"\x0d\x14\x1e\x00\x01\x02",
        b"\x1e\x09\x11\x1e\x02h\x090\x1612345678",
    ];
    run(bodies::redis_reply, &examples, 100_000);
}

#[test]
fn the_defaults_before_a_copy() {
    let field = |bytes: &[u8]| {
        let length = i32::try_from(bytes.len()).unwrap();
        [&23_u32.to_be_bytes(), &length.to_be_bytes(), bytes].concat()
    };
    let all = [1_u8, 2, 3, 4, 5, 6, 7, 8].map(|byte| field(&vec![byte; usize::from(byte)]));
    let record = [&8_u32.to_be_bytes()[..], &all.concat()].concat();
    let null = [&1_u32.to_be_bytes()[..], &[0, 0, 0, 16], &[0xff; 4]].concat();
    let refused = [&1_u32.to_be_bytes()[..], &[0, 0, 0, 16, 0, 0, 0, 1, 0]].concat();
    run(bodies::copy_defaults, &[&record, &null, &refused], 100_000);
}

#[test]
fn a_sarif_log() {
    let examples: [&[u8]; 3] = [
        br#"{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "t", "rules": [{"id": "R1",
            "defaultConfiguration": {"level": "error"}}]}}, "results": [{"ruleId": "R1", "ruleIndex": 0,
            "message": {"text": "m"}, "locations": [{"physicalLocation": {"artifactLocation": {"uri": "a/b.c",
            "uriBaseId": "ROOT"}, "region": {"startLine": 3, "endLine": 4}}}]}],
            "originalUriBaseIds": {"ROOT": {"uri": "file:///src/"}}}]}"#,
        br#"{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "t"}}, "results": null,
            "invocations": [{"executionSuccessful": false, "toolExecutionNotifications": [{"level": "error",
            "message": {"text": "crashed"}}]}]}, null]}"#,
        b"\xff\xfe{\0\"\0v\0\"\0:\x001\0}\0",
    ];
    run(sarif::sarif, &examples, 10_000);
}
