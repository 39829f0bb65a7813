//! The SQLSTATE that a message stands for, where the driver does not report it.

#[cfg(feature = "blocking")]
use super::translations::translations;

/// The beginnings of English messages, with the SQLSTATE that each stands for.
///
/// diesel does not pass on the SQLSTATE that libpq has. The blocking engine therefore classifies by
/// message what diesel's kinds do not distinguish, and both engines classify so the messages of
/// libpq, PgBouncer and the drivers.
const MESSAGES: &[(&str, &str)] = &[
    ("deadlock detected", "40P01"),
    ("canceling statement due to lock timeout", "55P03"),
    ("canceling statement due to", "57014"),
    ("could not obtain lock", "55P03"),
    (
        "terminating connection due to idle-in-transaction timeout",
        "25P03",
    ),
    ("terminating connection due to transaction timeout", "25P04"),
    (
        "terminating connection due to conflict with recovery",
        "40001",
    ),
    ("terminating connection", "57P01"),
    ("the database system is", "57P03"),
    ("server closed the connection unexpectedly", "08006"),
    ("connection closed", "08006"),
    ("no connection to the server", "08003"),
    ("server conn crashed", "08006"),
    ("server login has been failing", "08006"),
    ("pgbouncer cannot connect", "08006"),
    ("query_wait_timeout", "08P01"),
    ("client_login_timeout", "08P01"),
    ("client_idle_timeout", "08P01"),
    ("query_timeout", "08P01"),
    ("idle_transaction_timeout", "08P01"),
    ("no more connections allowed", "53300"),
    ("sorry, too many clients already", "53300"),
    ("too many connections for", "53300"),
    ("remaining connection slots are reserved", "53300"),
    ("current transaction is aborted", "25P02"),
    ("value too long for type", "22001"),
    ("numeric field overflow", "22003"),
    ("smallint out of range", "22003"),
    ("integer out of range", "22003"),
    ("bigint out of range", "22003"),
    ("value overflows numeric format", "22003"),
    ("value out of range", "22003"),
    ("timestamp out of range", "22008"),
    ("date/time field value out of range", "22008"),
    ("invalid input syntax for type", "22P02"),
    ("invalid input value for enum", "22P02"),
    ("invalid byte sequence for encoding", "22021"),
    ("unsupported Unicode escape sequence", "22P05"),
    ("division by zero", "22012"),
    ("index row size", "54000"),
    ("index row requires", "54000"),
    ("prepared statement \"", "26000"),
    ("unnamed prepared statement", "26000"),
    ("bind message supplies", "08P01"),
    ("cached plan must not change result type", "0A000"),
    ("cache lookup failed for ", "XX000"),
    ("type with OID ", "42704"),
    ("binary data has array element type", "42804"),
    ("permission denied", "42501"),
    ("must be owner of", "42501"),
    ("must be superuser", "42501"),
    ("must be a superuser", "42501"),
    ("must be member of role", "42501"),
    ("must be a member of", "42501"),
    ("must be able to SET ROLE", "42501"),
    ("must have admin option", "42501"),
    ("must have CREATEROLE", "42501"),
    ("must have privileges", "42501"),
    ("only superuser", "42501"),
    ("only roles with", "42501"),
    ("new row violates row-level security", "42501"),
    ("target row violates row-level security", "42501"),
    ("query would be affected by row-level security", "42501"),
];

/// Returns the SQLSTATE that a message stands for, in any language of the server.
pub(super) fn code_of(message: &str) -> Option<&'static str> {
    let message = in_english(message);
    let found = MESSAGES
        .iter()
        .find(|(start, _)| message.starts_with(start));
    found.map(|&(_, code)| code)
}

/// Returns the English form of a message of the server, with a percent sign in place of each value.
/// A message that is not among the translations is returned as it is.
#[cfg(feature = "blocking")]
pub(super) fn in_english(message: &str) -> &str {
    let translated = translations()
        .find(|(_, translations)| translations.iter().any(|pattern| matches(pattern, message)));
    translated.map_or(message, |&(english, _)| english)
}

/// Returns the message. Only the driver of the blocking engine needs the translations.
#[cfg(not(feature = "blocking"))]
pub(super) fn in_english(message: &str) -> &str {
    message
}

/// Checks whether a message has the form of a pattern, in which a percent sign stands for any text.
#[cfg(feature = "blocking")]
fn matches(pattern: &str, message: &str) -> bool {
    let Some((start, others)) = pattern.split_once('%') else {
        return pattern == message;
    };
    let Some(mut rest) = message.strip_prefix(start) else {
        return false;
    };
    let (between, end) = others.rsplit_once('%').unwrap_or(("", others));
    for part in between.split('%') {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(end)
}

#[cfg(all(test, feature = "blocking"))]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_a_whole_message() {
        for (pattern, message, expected) in [
            ("Verklemmung", "Verklemmung", true),
            ("Verklemmung", "Verklemmung in x", false),
            (
                "Rolle »%« existiert nicht",
                "Rolle »app« existiert nicht",
                true,
            ),
            ("Rolle »%« existiert nicht", "Rolle »app« existiert", false),
            ("% über % und %", "a über b und c", true),
            ("% über % und %", "a über b", false),
            ("über %", "über", false),
        ] {
            assert_eq!(matches(pattern, message), expected, "{pattern}: {message}");
        }
    }

    #[test]
    fn each_translation_has_the_code_of_the_english_message() {
        for (english, translations) in translations() {
            assert!(!translations.is_empty(), "{english}");
            for pattern in *translations {
                let message = pattern.replace('%', "x");
                assert_eq!(code_of(&message), code_of(english), "{message}");
            }
        }
    }

    #[test]
    fn messages_of_each_supported_version_are_recognized() {
        for (version, message, expected) in [
            ("15", "se canceló la sentencia", None),
            (
                "15",
                "cancelando la sentencia debido a que se agotó el tiempo de espera de candados (locks)",
                Some("55P03"),
            ),
            (
                "18",
                "cancelando la sentencia debido a que se agotó el tiempo de espera de “locks”",
                Some("55P03"),
            ),
            (
                "17 and 18",
                "Verbindung wird abgebrochen wegen Zeitüberschreitung in Transaktion",
                Some("25P04"),
            ),
            (
                "16 to 18",
                "çıkmaz (deadlock) durumu saptandı",
                Some("40P01"),
            ),
        ] {
            assert_eq!(code_of(message), expected, "{version}: {message}");
        }
    }
}
