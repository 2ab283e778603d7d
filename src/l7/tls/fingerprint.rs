//! Fingerprints of hellos: JA3 and JA3S (MD5 over decimal lists), and JA4 as its authors publish it for TLS
//! clients (sorted lists, SHA-256 cut to 12 digits). Computed once a flow.

use md5::Md5;
use sha2::{Digest, Sha256};

use crate::l7::tls::hello::{ClientHello, Extensions, extension, is_grease};
use crate::l7::{Fact, Facts};

/// Ciphers of a hello we sort; one with more has no JA4. All registered ones are some 350, and none offers them all.
const MAX_CIPHERS: usize = 256;
/// The same for extensions.
const MAX_EXTENSIONS: usize = 128;

/// Text that is hashed. What does not fit makes it worthless, and `None` at its end.
struct Text {
    bytes: heapless::Vec<u8, 4096>,
    overflowed: bool,
}

impl Text {
    fn new() -> Self {
        Text {
            bytes: heapless::Vec::new(),
            overflowed: false,
        }
    }

    fn push(&mut self, byte: u8) {
        self.overflowed |= self.bytes.push(byte).is_err();
    }

    fn decimal(&mut self, number: u16) {
        let mut divisor = 10_000;
        while divisor > 1 && number < divisor {
            divisor /= 10;
        }
        while divisor > 0 {
            self.push(b'0' + (number / divisor % 10) as u8);
            divisor /= 10;
        }
    }

    /// Numbers in decimal with `-` between, GREASE left out.
    fn decimals(&mut self, numbers: impl Iterator<Item = u16>) {
        for (at, number) in numbers.filter(|number| !is_grease(*number)).enumerate() {
            if at > 0 {
                self.push(b'-');
            }
            self.decimal(number);
        }
    }

    /// Numbers as four hex digits with `,` between.
    fn hexes(&mut self, numbers: impl Iterator<Item = u16>) {
        for (at, number) in numbers.enumerate() {
            if at > 0 {
                self.push(b',');
            }
            for byte in number.to_be_bytes() {
                let [high, low] = hex(byte);
                self.push(high);
                self.push(low);
            }
        }
    }

    fn done(&self) -> Option<&[u8]> {
        (!self.overflowed).then_some(&self.bytes)
    }
}

/// Two lower-case hex digits.
fn hex(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [
        DIGITS[usize::from(byte >> 4)],
        DIGITS[usize::from(byte & 15)],
    ]
}

/// MD5 in hex.
fn md5_hex(text: &[u8]) -> [u8; 32] {
    let mut digits = [0; 32];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(Md5::digest(text)) {
        pair.copy_from_slice(&hex(byte));
    }
    digits
}

/// First 12 hex digits of the SHA-256; zeros for nothing.
fn sha256_12(text: &[u8]) -> [u8; 12] {
    let mut digits = [b'0'; 12];
    if !text.is_empty() {
        for (pair, byte) in digits.chunks_exact_mut(2).zip(Sha256::digest(text)) {
            pair.copy_from_slice(&hex(byte));
        }
    }
    digits
}

/// Notes JA3 and JA4 of a complete ClientHello; `transport` is `t` for TCP, `q` for QUIC.
pub(super) fn note_client(hello: &ClientHello, transport: u8, facts: &mut Facts) {
    if let Some(ja4) = ja4(hello, transport) {
        facts.set(Fact::Ja4, &ja4);
    }
    let mut text = Text::new();
    text.decimal(hello.version);
    text.push(b',');
    text.decimals(hello.ciphers.numbers());
    text.push(b',');
    text.decimals(hello.extensions.map(|(number, _)| number));
    text.push(b',');
    text.decimals(hello.groups.numbers());
    text.push(b',');
    text.decimals(hello.point_formats.iter().map(|format| u16::from(*format)));
    if let Some(text) = text.done() {
        facts.set(Fact::Ja3, &md5_hex(text));
    }
}

/// Notes JA3S of a ServerHello.
pub(super) fn note_server(version: u16, cipher: u16, extensions: Extensions, facts: &mut Facts) {
    if facts.bytes(Fact::Ja3s).is_some() {
        return;
    }
    let mut text = Text::new();
    text.decimal(version);
    text.push(b',');
    text.decimal(cipher);
    text.push(b',');
    text.decimals(extensions.map(|(number, _)| number));
    if let Some(text) = text.done() {
        facts.set(Fact::Ja3s, &md5_hex(text));
    }
}

/// `t13d1516h2_8daaf6152771_e5627efa2ab1`: transport, version, whether a name is asked for, how many ciphers
/// and extensions, first ALPN value; hash of the sorted ciphers; hash of the sorted extensions and the signature algorithms.
fn ja4(hello: &ClientHello, transport: u8) -> Option<[u8; 36]> {
    let mut ciphers = heapless::Vec::<u16, MAX_CIPHERS>::new();
    for cipher in hello.ciphers.numbers().filter(|number| !is_grease(*number)) {
        ciphers.push(cipher).ok()?;
    }
    let mut extensions = heapless::Vec::<u16, MAX_EXTENSIONS>::new();
    for (number, _) in hello.extensions.filter(|(number, _)| !is_grease(*number)) {
        extensions.push(number).ok()?;
    }
    let mut ja4 = *b"?00i000000_000000000000_000000000000";
    ja4[0] = transport;
    ja4[1..3].copy_from_slice(version(hello));
    if hello.has_server_name {
        ja4[3] = b'd';
    }
    ja4[4..6].copy_from_slice(&two_digits(ciphers.len()));
    ja4[6..8].copy_from_slice(&two_digits(extensions.len()));
    ja4[8..10].copy_from_slice(&first_and_last(hello.protocols().next().unwrap_or(&[])));

    ciphers.sort_unstable();
    let mut text = Text::new();
    text.hexes(ciphers.iter().copied());
    ja4[11..23].copy_from_slice(&sha256_12(text.done()?));

    extensions.sort_unstable();
    let mut text = Text::new();
    let named = [extension::SERVER_NAME, extension::ALPN]; // told in the first part
    text.hexes(
        extensions
            .iter()
            .copied()
            .filter(|number| !named.contains(number)),
    );
    let mut signatures = hello
        .signatures
        .numbers()
        .filter(|number| !is_grease(*number))
        .peekable();
    if signatures.peek().is_some() {
        text.push(b'_');
        text.hexes(signatures);
    }
    ja4[24..36].copy_from_slice(&sha256_12(text.done()?));
    Some(ja4)
}

/// The highest version offered, in two characters.
fn version(hello: &ClientHello) -> &'static [u8; 2] {
    let offered = hello
        .versions
        .numbers()
        .filter(|number| !is_grease(*number));
    match offered.max().unwrap_or(hello.version) {
        0x0304 => b"13",
        0x0303 => b"12",
        0x0302 => b"11",
        0x0301 => b"10",
        0x0300 => b"s3",
        0x0002 => b"s2",
        _ => b"00",
    }
}

/// A count; 99 stands for more.
fn two_digits(count: usize) -> [u8; 2] {
    let count = count.min(99) as u8;
    [b'0' + count / 10, b'0' + count % 10]
}

/// First and last character of an ALPN value, of its hex digits if one of them is no letter and no digit;
/// `00` for none.
fn first_and_last(protocol: &[u8]) -> [u8; 2] {
    match (protocol.first(), protocol.last()) {
        (Some(first), Some(last))
            if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() =>
        {
            [*first, *last]
        }
        (Some(first), Some(last)) => [hex(*first)[0], hex(*last)[1]],
        _ => *b"00",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::l7::testing::look;
    use crate::l7::tls::TLS;
    use crate::l7::tls::tests::hello;

    fn list16(numbers: &[u16]) -> Vec<u8> {
        let bytes = numbers.iter().flat_map(|number| number.to_be_bytes());
        (numbers.len() as u16 * 2)
            .to_be_bytes()
            .into_iter()
            .chain(bytes)
            .collect()
    }

    /// The example JA4's authors work through: a Chrome of 2023.
    #[test]
    fn ja4_is_what_its_authors_say_it_is() {
        let ciphers = [
            0x8a8a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013,
            0xc014, 0x009c, 0x009d, 0x002f, 0x0035,
        ];
        let signatures = [
            0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601,
        ];
        let mut extensions = vec![(0x4a4a, vec![])];
        for number in [
            0x1b, 0, 0x33, 0x10, 0x4469, 0x17, 0x2d, 0x0d, 0x05, 0x23, 0x12, 0x2b, 0xff01, 0x0b,
            0x0a, 0x15,
        ] {
            let content = match number {
                0x0d => list16(&signatures),
                0x10 => b"\x00\x0c\x02h2\x08http/1.1".to_vec(),
                0x2b => b"\x06\x0a\x0a\x03\x04\x03\x03".to_vec(),
                _ => vec![],
            };
            extensions.push((number, content));
        }

        let (_, facts) = look(&TLS, &hello(0x0303, &ciphers, &extensions), 443);

        assert_eq!(
            facts.text(Fact::Ja4),
            Some("t13d1516h2_8daaf6152771_e5627efa2ab1")
        );
        assert_eq!(
            facts.text(Fact::TlsSupportedVersions),
            Some("TLSv1.3,TLSv1.2")
        );
    }

    /// The two examples of JA3's README.
    #[test]
    fn ja3_is_what_its_authors_say_it_is() {
        let ciphers = [47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4];
        let extensions = [(0, vec![]), (10, list16(&[23, 24, 25])), (11, vec![1, 0])];
        let (_, facts) = look(&TLS, &hello(769, &ciphers, &extensions), 443);
        assert_eq!(
            facts.text(Fact::Ja3),
            Some("ada70206e40642a3e4461f35503241d5")
        );

        let ciphers = [4, 5, 10, 9, 100, 98, 3, 6, 19, 18, 99];
        let (_, facts) = look(&TLS, &hello(769, &ciphers, &[]), 443);
        assert_eq!(
            facts.text(Fact::Ja3),
            Some("de350869b8c85de67a350c8d186f11e6")
        );
        assert_eq!(
            facts.text(Fact::Ja4).map(|ja4| &ja4[..10]),
            Some("t10i110000")
        );
        assert_eq!(
            facts.text(Fact::Ja4).map(|ja4| &ja4[24..]),
            Some("000000000000")
        );
    }

    #[test]
    fn alpn_is_told_by_its_ends() {
        assert_eq!(&first_and_last(b"http/1.1"), b"h1");
        assert_eq!(&first_and_last(b"h"), b"hh");
        assert_eq!(&first_and_last(b"\xab\x30\x31\xcd"), b"ad");
        assert_eq!(&first_and_last(b""), b"00");
    }

    #[test]
    fn a_hello_of_more_ciphers_than_we_sort_has_no_ja4() {
        let ciphers: Vec<u16> = (1..=300).collect();

        let (_, facts) = look(&TLS, &hello(0x0303, &ciphers, &[]), 443);

        assert_eq!(facts.text(Fact::Ja4), None);
        assert!(facts.text(Fact::Ja3).is_some());
    }
}
