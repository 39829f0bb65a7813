//! The examples of the services' documentation, and requests that are not quite those.

use chrono::{DateTime, TimeDelta, Utc};

use super::{WebhookError, WebhookRequest, WebhookScheme as Scheme, verify_webhook};

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

/// An example: scheme, secret, request, and the time at which it was signed.
type Example = (Scheme, &'static str, WebhookRequest<'static>, DateTime<Utc>);

/// GitHub, "Validating webhook deliveries".
fn github() -> Example {
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let request = WebhookRequest::new(b"Hello, World!", signature);
    (Scheme::Github, "It's a Secret to Everybody", request, at(0))
}

/// Slack, "Verifying requests from Slack".
fn slack() -> Example {
    let body = b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow\
        &channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner\
        &command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands\
        %2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN\
        &trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    let signature = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
    let request = WebhookRequest::new(body, signature).timestamp("1531420618");
    let secret = "8f742231b10e8888abcd99yyyzzz85a5";
    (Scheme::Slack, secret, request, at(1_531_420_618))
}

/// The example of the Standard Webhooks, which GitLab's signing tokens follow.
fn standard() -> Example {
    let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    let request = WebhookRequest::new(br#"{"test": 2432232314}"#, signature)
        .timestamp("1614265330")
        .id("msg_p5jXN8AQM9LWM0D4loKWxJek");
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    (Scheme::Standard, secret, request, at(1_614_265_330))
}

/// RFC 4231, test case 2.
fn plain(scheme: Scheme) -> Example {
    let signature = match scheme {
        Scheme::HmacSha256Hex => "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        _ => "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=",
    };
    let request = WebhookRequest::new(b"what do ya want for nothing?", signature);
    (scheme, "Jefe", request, at(0))
}

fn examples() -> [Example; 6] {
    let gitlab = WebhookRequest::new(b"{}", "hunter2");
    [
        github(),
        slack(),
        standard(),
        plain(Scheme::HmacSha256Hex),
        plain(Scheme::HmacSha256Base64),
        (Scheme::GitlabToken, "hunter2", gitlab, at(0)),
    ]
}

fn verify((scheme, secret, request, now): &Example) -> Result<(), WebhookError> {
    verify_webhook(*scheme, secret, request, *now)
}

#[test]
fn the_documented_examples_are_accepted() {
    for example in examples() {
        verify(&example).unwrap_or_else(|error| panic!("{example:?}: {error}"));
    }
}

#[test]
fn a_request_that_was_changed_is_rejected() {
    for example in examples() {
        let (scheme, secret, request, now) = example;
        let longer = format!("{secret}x");
        let wrong = if scheme == Scheme::Standard {
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx"
        } else {
            &longer
        };
        let outcome = verify_webhook(scheme, wrong, &request, now);
        assert!(
            matches!(outcome, Err(WebhookError::Mismatch)),
            "{example:?}: {outcome:?}"
        );
        assert!(matches!(
            verify_webhook(scheme, "", &request, now),
            Err(WebhookError::NoSecret)
        ));
        let body = [request.body, b" "].concat();
        let changed = WebhookRequest {
            body: &body,
            ..request
        };
        // The secret itself proves nothing about the body.
        let outcome = verify_webhook(scheme, secret, &changed, now);
        assert_eq!(outcome.is_ok(), scheme == Scheme::GitlabToken);
        for index in 0..request.signature.len() {
            let mut altered = request.signature.to_owned().into_bytes();
            altered[index] = if altered[index] == b'0' { b'1' } else { b'0' };
            let signature = String::from_utf8(altered).unwrap();
            let altered = WebhookRequest {
                signature: &signature,
                ..request
            };
            let outcome = verify_webhook(scheme, secret, &altered, now);
            assert!(outcome.is_err(), "{scheme:?} {signature}");
        }
        for signature in ["", "sha256=", "v0=", "v1,", "é", &request.signature[1..]] {
            let other = WebhookRequest {
                signature,
                ..request
            };
            let outcome = verify_webhook(scheme, secret, &other, now);
            assert!(outcome.is_err(), "{scheme:?} {signature}");
        }
    }
}

#[test]
fn a_request_is_accepted_for_five_minutes() {
    for (scheme, secret, request, signed_at) in [slack(), standard()] {
        let verify = |now| verify_webhook(scheme, secret, &request, now);
        let window = TimeDelta::minutes(5);
        for (now, is_within) in [
            (signed_at + window, true),
            (signed_at - window, true),
            (signed_at + window + TimeDelta::milliseconds(1), false),
            (signed_at - window - TimeDelta::milliseconds(1), false),
            (DateTime::<Utc>::MAX_UTC, false),
            (DateTime::<Utc>::MIN_UTC, false),
        ] {
            match verify(now) {
                Ok(()) => assert!(is_within, "{now}"),
                Err(WebhookError::OutsideWindow(at)) => {
                    assert!(!is_within && at == signed_at, "{now}");
                }
                Err(error) => panic!("{now}: {error}"),
            }
        }
        // The time is signed: it cannot be replaced by a later one.
        let later = (signed_at.timestamp() + 1).to_string();
        let outcome = verify_webhook(scheme, secret, &request.timestamp(&later), signed_at);
        assert!(matches!(outcome, Err(WebhookError::Mismatch)));
        for malformed in [
            "",
            "+1531420618",
            "soon",
            "1531420618.0",
            "99999999999999999999",
        ] {
            let request = request.timestamp(malformed);
            let outcome = verify_webhook(scheme, secret, &request, signed_at);
            assert!(matches!(outcome, Err(WebhookError::Malformed("timestamp"))));
        }
        let without = WebhookRequest {
            timestamp: None,
            ..request
        };
        let outcome = verify_webhook(scheme, secret, &without, signed_at);
        assert!(matches!(outcome, Err(WebhookError::Missing("timestamp"))));
    }
}

#[test]
fn one_of_several_signatures_has_to_match() {
    let (scheme, secret, request, now) = standard();
    let other = "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc=";
    let right = request.signature;
    for (signature, is_accepted) in [
        (format!("{other} {right}"), true),
        (format!("{right} {other}"), true),
        (format!("v2,{} {right}", &right[3..]), true),
        (format!("{other} {other}"), false),
        (format!("v2,{}", &right[3..]), false),
    ] {
        let request = WebhookRequest {
            signature: &signature,
            ..request
        };
        let outcome = verify_webhook(scheme, secret, &request, now);
        assert_eq!(outcome.is_ok(), is_accepted, "{signature}");
    }
    let without = WebhookRequest {
        id: None,
        ..request
    };
    assert!(matches!(
        verify_webhook(scheme, secret, &without, now),
        Err(WebhookError::Missing("id"))
    ));
    for malformed in ["", "a.b"] {
        assert!(matches!(
            verify_webhook(scheme, secret, &request.id(malformed), now),
            Err(WebhookError::Malformed("id"))
        ));
    }
    for malformed in ["hunter2", "whsec_", "whsec_%"] {
        assert!(matches!(
            verify_webhook(scheme, malformed, &request, now),
            Err(WebhookError::MalformedSecret)
        ));
    }
}

#[test]
fn a_secret_is_not_printed() {
    let request = WebhookRequest::new(b"{}", "hunter2");
    let error = verify_webhook(Scheme::GitlabToken, "hunter3", &request, at(0)).unwrap_err();
    let printed = format!("{request:?} {error:?} {error}");
    assert!(!printed.contains("hunter"), "{printed}");
}
