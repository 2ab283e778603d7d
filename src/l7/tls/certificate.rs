//! The certificate a server shows: names and dates of the leaf (RFC 5280, DER of ITU-T X.690). Nothing is
//! verified here; a walk over tags and lengths that ends where the bytes end.

use crate::l7::reader::Reader;
use crate::l7::{Fact, Facts};

/// Tags of the types met.
mod tag {
    pub const INTEGER: u8 = 0x02;
    pub const OCTET_STRING: u8 = 0x04;
    pub const OID: u8 = 0x06;
    pub const UTC_TIME: u8 = 0x17;
    pub const GENERALIZED_TIME: u8 = 0x18;
    pub const BMP_STRING: u8 = 0x1e;
    pub const SEQUENCE: u8 = 0x30;
    pub const SET: u8 = 0x31;
    /// Context-specific 0, constructed: the version.
    pub const VERSION: u8 = 0xa0;
    /// Context-specific 3, constructed: the extensions.
    pub const EXTENSIONS: u8 = 0xa3;
    /// Context-specific 2, primitive: a DNS name among alternative names.
    pub const DNS_NAME: u8 = 0x82;
}

/// `subjectAltName`, 2.5.29.17.
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];

/// Parts of a name that are shown, by the bytes of their object identifier.
const ATTRIBUTES: &[(&[u8], &str)] = &[
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    // 1.2.840.113549.1.9.1
    (
        &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1],
        "emailAddress",
    ),
    // 0.9.2342.19200300.100.1.25
    (
        &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 0x19],
        "DC",
    ),
];

/// Bytes of facts left free behind the subject, for the names.
const LEFT_FOR_NAMES: usize = 40;
/// Bytes of facts left free behind the names: a script may have something to say of the flow.
const LEFT_FOR_SCRIPTS: usize = 40;

/// One text in the making: more than a fact keeps, so that a fact says when it was cut.
type Text = heapless::Vec<u8, 512>;

/// The first certificate of a Certificate message (RFC 5246, 7.4.2), and whether all of it is there.
pub(super) fn leaf(message: &[u8]) -> (&[u8], bool) {
    let mut message = Reader(message);
    match (message.u24(), message.u24()) {
        (Some(_), Some(length)) => message.take_some(length as usize),
        _ => (&[], false),
    }
}

/// Notes what a certificate says, as far as it is there.
pub(super) fn note(certificate: &[u8], facts: &mut Facts) {
    // Names are in the last part; facts found before it breaks off stay.
    let _ = note_parts(certificate, facts);
}

fn note_parts(certificate: &[u8], facts: &mut Facts) -> Option<()> {
    let mut body = open(&mut Reader(certificate), tag::SEQUENCE)?;
    let mut body = open(&mut body, tag::SEQUENCE)?;
    if body.0.first() == Some(&tag::VERSION) {
        element(&mut body, tag::VERSION)?;
    }
    element(&mut body, tag::INTEGER)?; // serial number
    element(&mut body, tag::SEQUENCE)?; // signature algorithm
    let issuer = element(&mut body, tag::SEQUENCE)?;
    let mut validity = element(&mut body, tag::SEQUENCE)?;
    for fact in [Fact::TlsNotBefore, Fact::TlsNotAfter] {
        if let Some(seconds) = time(&mut validity) {
            facts.set_number(fact, seconds);
        }
    }
    facts.set_leaving(
        Fact::TlsIssuer,
        &name(issuer),
        2 * LEFT_FOR_NAMES + LEFT_FOR_SCRIPTS,
    );
    let subject = element(&mut body, tag::SEQUENCE)?;
    facts.set_leaving(
        Fact::TlsSubject,
        &name(subject),
        LEFT_FOR_NAMES + LEFT_FOR_SCRIPTS,
    );
    element(&mut body, tag::SEQUENCE)?; // public key
    while body.0.first() != Some(&tag::EXTENSIONS) {
        next(&mut body)?;
    }
    let mut extensions = open(&mut body, tag::EXTENSIONS)?;
    let mut extensions = open(&mut extensions, tag::SEQUENCE)?;
    loop {
        let mut extension = element(&mut extensions, tag::SEQUENCE)?;
        if element(&mut extension, tag::OID)?.0 != ALTERNATIVE_NAMES {
            continue;
        }
        let (mut kind, mut value) = next(&mut extension)?;
        if kind != tag::OCTET_STRING {
            (kind, value) = next(&mut extension)?; // behind the `critical` flag
        }
        if kind == tag::OCTET_STRING {
            let names = dns_names(element(&mut value, tag::SEQUENCE)?);
            facts.set_leaving(Fact::TlsNames, &names, LEFT_FOR_SCRIPTS);
        }
        return Some(());
    }
}

/// The next element, whatever its tag: tag and content. `None` if it is not all there.
fn next<'a>(reader: &mut Reader<'a>) -> Option<(u8, Reader<'a>)> {
    let (tag, length) = head(reader)?;
    Some((tag, Reader(reader.take(length)?)))
}

/// The content of the next element, which must have this tag and be all there.
fn element<'a>(reader: &mut Reader<'a>, wanted: u8) -> Option<Reader<'a>> {
    next(reader)
        .filter(|(tag, _)| *tag == wanted)
        .map(|(_, content)| content)
}

/// As [`element`], but the end may be missing.
fn open<'a>(reader: &mut Reader<'a>, wanted: u8) -> Option<Reader<'a>> {
    let (tag, length) = head(reader)?;
    (tag == wanted).then(|| Reader(reader.take_some(length).0))
}

/// Tag and length. Lengths of more than three bytes, indefinite ones and tags of several bytes have no place
/// in a certificate.
fn head(reader: &mut Reader) -> Option<(u8, usize)> {
    let tag = reader.u8().filter(|tag| tag & 0x1f != 0x1f)?;
    let length = match reader.u8()? {
        short @ 0..=0x7f => u32::from(short),
        0x81 => u32::from(reader.u8()?),
        0x82 => u32::from(reader.u16()?),
        0x83 => reader.u24()?,
        _ => return None,
    };
    Some((tag, length as usize))
}

/// A name as text in the order it is written: `C=US, O=Example, CN=www.example.org`.
fn name(mut parts: Reader) -> Text {
    let mut text = Text::new();
    while let Some(mut set) = element(&mut parts, tag::SET) {
        while let Some(mut pair) = element(&mut set, tag::SEQUENCE) {
            let (Some(oid), Some((kind, value))) = (element(&mut pair, tag::OID), next(&mut pair))
            else {
                continue;
            };
            let Some((_, label)) = ATTRIBUTES.iter().find(|(known, _)| *known == oid.0) else {
                continue;
            };
            if !text.is_empty() {
                push(&mut text, b", ");
            }
            push(&mut text, label.as_bytes());
            push(&mut text, b"=");
            if kind == tag::BMP_STRING {
                for wide in value.numbers() {
                    push(&mut text, &[u8::try_from(wide).unwrap_or(b'?')]);
                }
            } else {
                push(&mut text, value.0);
            }
        }
    }
    text
}

/// The DNS names among alternative names, comma separated.
fn dns_names(mut names: Reader) -> Text {
    let mut text = Text::new();
    while let Some((kind, name)) = next(&mut names) {
        if kind == tag::DNS_NAME {
            if !text.is_empty() {
                push(&mut text, b",");
            }
            push(&mut text, name.0);
        }
    }
    text
}

/// Adds bytes as far as there is room; control characters become `?`.
fn push(text: &mut Text, bytes: &[u8]) {
    for &byte in bytes {
        let _ = text.push(if byte.is_ascii_control() { b'?' } else { byte });
    }
}

/// A time as seconds since 1970; `None` for what is no time, or before 1970.
fn time(reader: &mut Reader) -> Option<u64> {
    let (kind, digits) = next(reader)?;
    let (year, rest) = match kind {
        tag::UTC_TIME => {
            let (year, rest) = digits.0.split_at_checked(2)?;
            let year = number(year)?;
            // RFC 5280, 4.1.2.5.1: 50 and above are of the last century.
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        tag::GENERALIZED_TIME => {
            let (year, rest) = digits.0.split_at_checked(4)?;
            (number(year)?, rest)
        }
        _ => return None,
    };
    let [month, day, hour, minute, second] = [0, 2, 4, 6, 8].map(|at| rest.get(at..at + 2));
    let (month, day) = (number(month?)?, number(day?)?);
    let (hour, minute, second) = (number(hour?)?, number(minute?)?, number(second?)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let seconds = days_since_1970(year, month, day)? * 86_400;
    Some(seconds + u64::from(hour * 3_600 + minute * 60 + second))
}

fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |sum, digit| {
        digit
            .is_ascii_digit()
            .then(|| sum * 10 + u32::from(digit - b'0'))
    })
}

/// Days from 1970-01-01 to a day of the Gregorian calendar, counted in years that begin in March.
fn days_since_1970(year: u32, month: u32, day: u32) -> Option<u64> {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year.checked_sub(1)?, month + 9)
    };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    // 719,468 days lie between 0000-03-01 and 1970-01-01.
    days.checked_sub(719_468).map(u64::from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::l7::tls::tests::SERVER_12;

    /// The leaf in the fixture's Certificate message.
    fn certificate() -> &'static [u8] {
        let (leaf, whole) = leaf(&SERVER_12[5 + 74 + 5 + 4..]);
        assert!(whole);
        leaf
    }

    #[test]
    fn times_of_both_kinds_are_seconds_since_1970() {
        for (der, seconds) in [
            (&b"\x17\x0d700101000000Z"[..], Some(0)),
            (b"\x17\x0d240229235959Z", Some(1_709_251_199)),
            (b"\x18\x0f20500101000000Z", Some(2_524_608_000)),
            (b"\x18\x0f99991231235959Z", Some(253_402_300_799)),
            (b"\x17\x0d500101000000Z", None),
            (b"\x17\x0d241301000000Z", None),
            (b"\x17\x0d24010100000", None),
            (b"\x17\x0d2401x1000000Z", None),
        ] {
            assert_eq!(time(&mut Reader(der)), seconds, "{}", der.escape_ascii());
        }
    }

    #[test]
    fn a_name_in_two_byte_characters_is_read() {
        let der = b"\x31\x0f\x30\x0d\x06\x03\x55\x04\x0a\x1e\x06\x00A\x00B\x26\x03";

        assert_eq!(name(Reader(der)), b"O=AB?");
    }

    #[test]
    fn a_certificate_cut_anywhere_gives_what_is_there() {
        let mut last = 0;
        for end in 0..=certificate().len() {
            let mut facts = Facts::default();
            note(&certificate()[..end], &mut facts);

            let count = facts.all().count();
            assert!(count >= last, "fewer facts with more bytes, at {end}");
            last = count;
        }
        assert_eq!(last, 5);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(changes in proptest::collection::vec((0usize..626, any::<u8>()), 0..6), end in 0usize..700) {
            let mut bytes = certificate().to_vec();
            for (at, byte) in changes {
                bytes[at] = byte;
            }
            note(&bytes[..end.min(bytes.len())], &mut Facts::default());
        }
    }
}
