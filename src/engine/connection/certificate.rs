//! Reads of a certificate what rustls does not give, and of those that it does not read at all.

use chrono::NaiveDateTime;
use rustls::CertificateError;
use rustls::pki_types::UnixTime;

/// The parts of a certificate, as they are written in it.
pub(super) struct Certificate<'c> {
    issuer: &'c [u8],
    subject: &'c [u8],
    validity: &'c [u8],
    /// The fields after the key: the extensions, if any.
    extensions: &'c [u8],
    /// The key with its algorithm.
    pub(super) key_info: &'c [u8],
    /// The algorithm's name, without what surrounds it.
    pub(super) key_algorithm: &'c [u8],
    pub(super) key: &'c [u8],
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const BOOLEAN: u8 = 0x01;
/// The kinds of other names that a host can have.
pub(super) const DNS_NAME: u8 = 0x82;
pub(super) const IP_ADDRESS: u8 = 0x87;
const VERSION: u8 = 0xa0;
/// 2.5.4.3, with its tag and length.
const COMMON_NAME: &[u8] = &[0x06, 0x03, 0x55, 0x04, 0x03];
/// 2.5.29.17, with its tag and length.
const OTHER_NAMES: &[u8] = &[0x06, 0x03, 0x55, 0x1d, 0x11];

/// A value of DER with its tag, its content, and itself as it is written; and what follows it.
struct Value<'d> {
    tag: u8,
    content: &'d [u8],
    whole: &'d [u8],
    rest: &'d [u8],
}

fn value(der: &[u8]) -> Option<Value<'_>> {
    let (&tag, after) = der.split_first()?;
    let (&first, after) = after.split_first()?;
    let (length, after) = if first < 0x80 {
        (usize::from(first), after)
    } else {
        let count = usize::from(first & 0x7f);
        if !(1..=4).contains(&count) {
            return None;
        }
        let (bytes, after) = after.split_at_checked(count)?;
        let length = bytes
            .iter()
            .fold(0, |length, byte| length << 8 | usize::from(*byte));
        (length, after)
    };
    let (content, rest) = after.split_at_checked(length)?;
    Some(Value {
        tag,
        content,
        whole: &der[..der.len() - rest.len()],
        rest,
    })
}

fn tagged(der: &[u8], tag: u8) -> Option<Value<'_>> {
    value(der).filter(|value| value.tag == tag)
}

impl<'c> Certificate<'c> {
    pub(super) fn read(der: &'c [u8]) -> Option<Self> {
        let signed = tagged(tagged(der, SEQUENCE)?.content, SEQUENCE)?;
        // A certificate of version 1 does not give its version.
        let rest = match tagged(signed.content, VERSION) {
            Some(version) => version.rest,
            None => signed.content,
        };
        let serial = tagged(rest, INTEGER)?;
        let signature = tagged(serial.rest, SEQUENCE)?;
        let issuer = tagged(signature.rest, SEQUENCE)?;
        let validity = tagged(issuer.rest, SEQUENCE)?;
        let subject = tagged(validity.rest, SEQUENCE)?;
        let key_info = tagged(subject.rest, SEQUENCE)?;
        let algorithm = tagged(key_info.content, SEQUENCE)?;
        let bits = tagged(algorithm.rest, BIT_STRING)?;
        // The first byte counts the bits that do not belong to the last one.
        let key = bits.content.strip_prefix(&[0])?;
        Some(Self {
            issuer: issuer.content,
            subject: subject.content,
            validity: validity.content,
            extensions: key_info.rest,
            key_info: key_info.whole,
            key_algorithm: algorithm.content,
            key,
        })
    }

    pub(super) fn is_its_own_issuer(&self) -> bool {
        self.issuer == self.subject
    }

    pub(super) fn check_time(&self, now: UnixTime) -> Result<(), rustls::Error> {
        let refused = |reason| Err(rustls::Error::InvalidCertificate(reason));
        let times = value(self.validity).and_then(|from| {
            let until = value(from.rest)?;
            Some((moment(&from)?, moment(&until)?))
        });
        match (times, i64::try_from(now.as_secs())) {
            (Some((from, _)), Ok(now)) if now < from => refused(CertificateError::NotValidYet),
            (Some((_, until)), Ok(now)) if now > until => refused(CertificateError::Expired),
            (Some(_), Ok(_)) => Ok(()),
            _ => refused(CertificateError::BadEncoding),
        }
    }

    /// Checks whether a host has the subject's common name. That counts only where the certificate
    /// has no other name of this kind.
    pub(super) fn common_name_fits(&self, host: &str, kind: u8) -> bool {
        let Some(name) = self.common_name().filter(|_| !self.has_other(kind)) else {
            return false;
        };
        if name.eq_ignore_ascii_case(host) {
            return true;
        }
        // One label may be anything, as for libpq.
        let rest = |name: &'_ str| {
            name.split_once('.')
                .map(|(_, rest)| rest.to_ascii_lowercase())
        };
        kind == DNS_NAME && name.starts_with("*.") && name.len() > 2 && rest(name) == rest(host)
    }

    /// Checks whether the certificate has another name of this kind. Other names that cannot be
    /// read count as one.
    fn has_other(&self, kind: u8) -> bool {
        let mut parts = self.extensions.windows(OTHER_NAMES.len());
        let Some(at) = parts.position(|part| part == OTHER_NAMES) else {
            return false;
        };
        let after = &self.extensions[at + OTHER_NAMES.len()..];
        let after = tagged(after, BOOLEAN).map_or(after, |is_critical| is_critical.rest);
        let names = tagged(after, OCTET_STRING).and_then(|names| tagged(names.content, SEQUENCE));
        let Some(names) = names else {
            return true;
        };
        let mut rest = names.content;
        while let Some(name) = value(rest) {
            if name.tag == kind {
                return true;
            }
            rest = name.rest;
        }
        !rest.is_empty()
    }

    fn common_name(&self) -> Option<&'c str> {
        let mut rest = self.subject;
        while let Some(names) = tagged(rest, SET) {
            rest = names.rest;
            let name = tagged(names.content, SEQUENCE)?;
            if let Some(after) = name.content.strip_prefix(COMMON_NAME) {
                return std::str::from_utf8(value(after)?.content).ok();
            }
        }
        None
    }
}

/// Returns a time of either form as seconds since 1970.
fn moment(time: &Value<'_>) -> Option<i64> {
    const SHORT: u8 = 0x17;
    let text = std::str::from_utf8(time.content).ok()?;
    let full = match time.tag {
        SHORT => {
            let century = if text.get(..1)? < "5" { "20" } else { "19" };
            format!("{century}{text}")
        }
        _ => text.to_owned(),
    };
    let parsed = NaiveDateTime::parse_from_str(&full, "%Y%m%d%H%M%SZ").ok()?;
    Some(parsed.and_utc().timestamp())
}
