//! The text of keys, as an application has it in its environment.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use crate::{Error, Result};

/// Reads keys from `NUMBER:KEY` entries that are separated by commas, the active key first. An
/// error contains nothing of the text.
pub(super) fn read<K>(
    text: &str,
    new: fn(u16, [u8; 32]) -> K,
    accept: fn(K, u16, [u8; 32]) -> Result<K>,
) -> Result<K> {
    let mut keys = None;
    for (index, entry) in text.split(',').enumerate() {
        let (id, key) = read_entry(entry).ok_or_else(|| invalid(index))?;
        keys = Some(match keys {
            None => new(id, key),
            Some(keys) => accept(keys, id, key)?,
        });
    }
    keys.ok_or_else(|| invalid(0))
}

fn read_entry(entry: &str) -> Option<(u16, [u8; 32])> {
    let (id, key) = entry.trim().split_once(':')?;
    let key = key.trim_end_matches('=');
    let key = STANDARD_NO_PAD
        .decode(key)
        .or_else(|_| URL_SAFE_NO_PAD.decode(key));
    Some((id.parse().ok()?, key.ok()?.try_into().ok()?))
}

fn invalid(index: usize) -> Error {
    Error::invalid(
        "keys",
        format_args!(
            "entry {} is not a number, a colon and 32 bytes in base 64",
            index + 1
        ),
    )
}

#[cfg(test)]
mod tests {
    use crate::types::protected::KeyProvider as _;
    use crate::{Keyring, SessionKeys};

    #[test]
    fn keys_are_read_with_the_active_one_first() {
        let [new, old] = [2, 1].map(|byte| {
            use base64::Engine as _;
            base64::engine::general_purpose::STANDARD.encode([byte; 32])
        });
        let text = format!("2:{new}, 1:{}", old.trim_end_matches('='));
        let keys: SessionKeys = text.parse().unwrap();
        assert_eq!(
            format!("{keys:?}"),
            "SessionKeys { active: 2, accepted: [1] }"
        );
        let keyring: Keyring = text.parse().unwrap();
        let (id, key) = keyring.active().unwrap();
        assert_eq!((id, key.expose()), (2, &[2; 32]));
        assert_eq!(keyring.key(1).unwrap().unwrap().expose(), &[1; 32]);
    }

    #[test]
    fn a_text_of_other_keys_is_refused_and_not_shown() {
        let key = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
        let short = "1:c2VjcmV0".to_owned();
        let urls = format!("1:{}", "_-".repeat(21) + "8");
        assert!(urls.parse::<SessionKeys>().is_ok());
        for text in [
            String::new(),
            key.to_owned(),
            short,
            format!("1:{key},"),
            format!("1:{key},1:{key}"),
            format!("65536:{key}"),
            format!("1:{key}!"),
        ] {
            for error in [
                text.parse::<SessionKeys>().unwrap_err().to_string(),
                text.parse::<Keyring>().unwrap_err().to_string(),
            ] {
                assert!(
                    !error.contains("AQEB") && !error.contains("c2Vj"),
                    "{error}"
                );
            }
        }
    }
}
