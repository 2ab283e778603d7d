//! ClientHello and ServerHello (RFC 8446, 4.1; RFC 5246, 7.4.1): their bytes to facts. QUIC carries the same
//! ClientHello.

use crate::l7::reader::Reader;
use crate::l7::tls::fingerprint;
use crate::l7::{Fact, Facts};

/// Extension numbers (IANA, TLS ExtensionType values).
pub(crate) mod extension {
    pub const SERVER_NAME: u16 = 0;
    pub const SUPPORTED_GROUPS: u16 = 10;
    pub const EC_POINT_FORMATS: u16 = 11;
    pub const SIGNATURE_ALGORITHMS: u16 = 13;
    pub const ALPN: u16 = 16;
    pub const SUPPORTED_VERSIONS: u16 = 43;
}

/// Bytes of facts left free for what the server will say: cipher, JA3S, certificate dates.
const LEFT_FOR_SERVER: usize = 10 + 34 + 20;
/// What one text is put together in: more than a fact keeps, so that a fact says when it was cut.
type Text = heapless::Vec<u8, 512>;

/// What a server sends behind its hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Follows {
    /// TLS 1.2 and older: the certificate can be seen.
    InTheClear,
    /// TLS 1.3.
    Encrypted,
}

/// A ClientHello's fields. Lists are as they lie on the wire, without their length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientHello<'a> {
    /// `legacy_version`.
    pub(crate) version: u16,
    pub(crate) ciphers: Reader<'a>,
    pub(crate) extensions: Extensions<'a>,
    /// The `server_name` extension is there.
    pub(crate) has_server_name: bool,
    /// First host name in it.
    pub(crate) server_name: Option<&'a [u8]>,
    /// Protocol names, each after its length byte.
    pub(crate) alpn: Reader<'a>,
    pub(crate) versions: Reader<'a>,
    pub(crate) groups: Reader<'a>,
    pub(crate) point_formats: &'a [u8],
    pub(crate) signatures: Reader<'a>,
}

/// The extensions of a hello: number and content of each that is there completely.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extensions<'a>(Reader<'a>);

impl<'a> Iterator for Extensions<'a> {
    type Item = (u16, Reader<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        Some((self.0.u16()?, self.0.block16()?))
    }
}

/// Whether a number is one of those that mean nothing, sent so that nobody gets used to a fixed set (RFC 8701).
pub(crate) fn is_grease(number: u16) -> bool {
    number & 0x0f0f == 0x0a0a && number >> 8 == number & 0xff
}

impl<'a> ClientHello<'a> {
    /// The fields of a message body, of which the end may be missing. `None` if it breaks off before the
    /// extensions, or is no ClientHello.
    pub(crate) fn parse(body: &'a [u8]) -> Option<Self> {
        let mut body = Reader(body);
        let version = body.u16()?;
        body.take(32)?;
        body.block8()?;
        let ciphers = body.block16()?;
        body.block8()?;
        let extensions = extensions(body);
        let mut hello = ClientHello {
            version,
            ciphers,
            extensions,
            has_server_name: false,
            server_name: None,
            alpn: Reader(&[]),
            versions: Reader(&[]),
            groups: Reader(&[]),
            point_formats: &[],
            signatures: Reader(&[]),
        };
        // Of an extension that comes twice the first one counts; no client does that.
        let empty = |list: Reader| list.is_empty();
        for (number, mut content) in extensions {
            match number {
                extension::SERVER_NAME if !hello.has_server_name => {
                    hello.has_server_name = true;
                    hello.server_name = host_name(content);
                }
                extension::ALPN if empty(hello.alpn) => {
                    hello.alpn = content.block16().unwrap_or(Reader(&[]));
                }
                extension::SUPPORTED_VERSIONS if empty(hello.versions) => {
                    hello.versions = content.block8().unwrap_or(Reader(&[]));
                }
                extension::SUPPORTED_GROUPS if empty(hello.groups) => {
                    hello.groups = content.block16().unwrap_or(Reader(&[]));
                }
                extension::EC_POINT_FORMATS if hello.point_formats.is_empty() => {
                    hello.point_formats = content.block8().map_or(&[], |formats| formats.0);
                }
                extension::SIGNATURE_ALGORITHMS if empty(hello.signatures) => {
                    hello.signatures = content.block16().unwrap_or(Reader(&[]));
                }
                _ => {}
            }
        }
        Some(hello)
    }

    /// Protocol names offered, in order.
    pub(crate) fn protocols(&self) -> impl Iterator<Item = &'a [u8]> {
        let mut list = self.alpn;
        std::iter::from_fn(move || list.block8().map(|name| name.0))
    }
}

/// The extensions block, as far as it is there; hellos before 2003 have none.
fn extensions<'a>(mut body: Reader<'a>) -> Extensions<'a> {
    let length = body.u16().unwrap_or(0);
    Extensions(Reader(body.take_some(usize::from(length)).0))
}

/// The first host name of a `server_name` extension (RFC 6066, 3).
fn host_name<'a>(mut content: Reader<'a>) -> Option<&'a [u8]> {
    let mut names = content.block16()?;
    while let (Some(kind), Some(name)) = (names.u8(), names.block16()) {
        if kind == 0 && !name.is_empty() {
            return Some(name.0);
        }
    }
    None
}

/// Notes what a ClientHello says. Of one that is not `complete` no fingerprint is made.
pub(crate) fn note_client(body: &[u8], complete: bool, facts: &mut Facts) {
    if facts.bytes(Fact::TlsSupportedVersions).is_some() || facts.bytes(Fact::Ja3).is_some() {
        return; // the second ClientHello of a connection, or the same one again
    }
    let Some(hello) = ClientHello::parse(body) else {
        return;
    };
    facts.set_number(Fact::TlsVersion, u64::from(hello.version));
    if let Some(name) = hello.server_name {
        facts.set_lower(Fact::TlsServerName, name);
    }
    if complete {
        fingerprint::note_client(&hello, b't', facts);
    }
    let mut versions = Text::new();
    for version in hello
        .versions
        .numbers()
        .filter(|number| !is_grease(*number))
    {
        push_listed(&mut versions, version_name(version).as_bytes());
    }
    if !versions.is_empty() {
        facts.set_leaving(Fact::TlsSupportedVersions, &versions, LEFT_FOR_SERVER);
    }
    let mut alpn = Text::new();
    for name in hello.protocols() {
        push_listed(&mut alpn, name);
    }
    if !alpn.is_empty() {
        facts.set_leaving(Fact::TlsAlpn, &alpn, LEFT_FOR_SERVER);
    }
}

/// Notes what a complete ServerHello says; `None` if it is none.
pub(crate) fn note_server(body: &[u8], facts: &mut Facts) -> Option<Follows> {
    let mut body = Reader(body);
    let legacy_version = body.u16()?;
    body.take(32)?;
    body.block8()?;
    let cipher = body.u16()?;
    body.u8()?;
    let extensions = extensions(body);
    let mut chosen = extensions
        .filter(|(number, _)| *number == extension::SUPPORTED_VERSIONS)
        .filter_map(|(_, mut content)| content.u16());
    let new_version = chosen.next();
    let version = new_version.unwrap_or(legacy_version);
    facts.replace_number(Fact::TlsVersion, u64::from(version));
    facts.set_number(Fact::TlsCipher, u64::from(cipher));
    fingerprint::note_server(legacy_version, cipher, extensions, facts);
    // Before the extension existed, drafts of 1.3 put their number where the version was.
    let encrypted = new_version.is_some() || !(0x0300..=0x0303).contains(&legacy_version);
    Some(if encrypted {
        Follows::Encrypted
    } else {
        Follows::InTheClear
    })
}

/// Name of a version as listed; a number for those not published.
fn version_name(version: u16) -> heapless::String<8> {
    let mut name = heapless::String::new();
    let known = match version {
        0x0304 => "TLSv1.3",
        0x0303 => "TLSv1.2",
        0x0302 => "TLSv1.1",
        0x0301 => "TLSv1",
        0x0300 => "SSLv3",
        _ => "",
    };
    let written = match known {
        "" => std::fmt::Write::write_fmt(&mut name, format_args!("0x{version:04x}")),
        known => name.push_str(known).map_err(|_| std::fmt::Error),
    };
    written.expect("no name is longer than 8");
    name
}

/// Adds an entry to a comma separated list: what is not printable as `?`, what does not fit left out.
pub(super) fn push_listed(list: &mut Text, entry: &[u8]) {
    if !list.is_empty() {
        let _ = list.push(b',');
    }
    for &byte in entry {
        let _ = list.push(if (b' '..=b'~').contains(&byte) {
            byte
        } else {
            b'?'
        });
    }
}
