//! What dissectors learned of one flow, in a fixed number of bytes.

/// What a fact is about. Texts are as the peer wrote them unless said otherwise, cut at [`MAX_VALUE`] bytes; numbers are stored
/// as 8 bytes big-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[allow(missing_docs)] // the names say it
pub enum Fact {
    HttpMethod = 1,
    /// Lower case; with its port if it has one. Of the request target if that has one, else of the first
    /// Host header.
    HttpHost,
    /// Request target as sent, from the path on; empty for CONNECT.
    HttpPath,
    HttpUserAgent,
    /// Number: status code of the first response.
    HttpStatus,
    HttpContentType,
    HttpServer,
    /// Lower case, dots between labels, no trailing dot.
    DnsQuery,
    /// Number: QTYPE.
    DnsType,
    /// Number: RCODE; present once a response was seen.
    DnsCode,
    /// 4 or 16 bytes, one fact an address (several may stand).
    DnsAddress,
    /// Number 1: the query has characters no host name has (they stand as `?` in it).
    DnsInvalidChars,
    /// Lower case.
    TlsServerName,
    /// Comma separated, as offered by the client.
    TlsAlpn,
    /// Number: negotiated version (771 = TLS 1.2), the client's legacy one until then.
    TlsVersion,
    /// Comma separated names (`TLSv1.3,TLSv1.2`).
    TlsSupportedVersions,
    /// Number: cipher suite the server chose.
    TlsCipher,
    Ja3,
    Ja3s,
    Ja4,
    TlsIssuer,
    TlsSubject,
    /// Comma separated DNS names of the certificate.
    TlsNames,
    /// Number: seconds since 1970.
    TlsNotBefore,
    /// Number: seconds since 1970.
    TlsNotAfter,
    /// Text a script set with `flow.setCustomInfo`.
    CustomInfo,
}

/// Bytes for one flow's facts, entries' heads included.
pub const FACT_BYTES: usize = 430;
/// Longest value kept.
pub const MAX_VALUE: usize = 255;

/// Facts of one flow: entries of tag, length, value. Each is set once; what no longer fits is cut or left
/// out, and `cut` says so.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    used: u16,
    /// A value was shortened or left out.
    pub cut: bool,
    bytes: [u8; FACT_BYTES],
}

impl Default for Facts {
    fn default() -> Self {
        Facts {
            used: 0,
            cut: false,
            bytes: [0; FACT_BYTES],
        }
    }
}

impl Facts {
    /// Sets `fact` unless it is set already. Longer values are cut to what fits.
    pub fn set(&mut self, fact: Fact, value: &[u8]) {
        if self.bytes(fact).is_none() {
            self.add(fact, value);
        }
    }

    /// As [`set`](Facts::set), but cut so that `leave` bytes stay free for what comes later. A number takes 10
    /// bytes, a text two more than its length.
    pub fn set_leaving(&mut self, fact: Fact, value: &[u8], leave: usize) {
        let room = FACT_BYTES.saturating_sub(usize::from(self.used) + 2 + leave);
        self.cut |= room < value.len();
        if room > 0 {
            self.set(fact, &value[..value.len().min(room)]);
        }
    }

    /// As [`set_leaving`](Facts::set_leaving), but of a value that does not fit beginning and end are kept, with
    /// `...` between: nobody hides an ending behind a long beginning.
    pub fn set_ends_leaving(&mut self, fact: Fact, value: &[u8], leave: usize) {
        const GAP: &[u8] = b"...";
        let room = FACT_BYTES.saturating_sub(usize::from(self.used) + 2 + leave);
        let room = room.min(MAX_VALUE);
        if value.len() <= room || room < 4 * GAP.len() {
            return self.set_leaving(fact, value, leave);
        }
        let mut kept = [0; MAX_VALUE];
        let begin = room / 2 - GAP.len();
        let end = room - begin - GAP.len();
        kept[..begin].copy_from_slice(&value[..begin]);
        kept[begin..begin + GAP.len()].copy_from_slice(GAP);
        kept[room - end..room].copy_from_slice(&value[value.len() - end..]);
        self.set(fact, &kept[..room]);
        self.cut = true;
    }

    /// As [`set`](Facts::set), in lower case (ASCII): names that compare so.
    pub fn set_lower(&mut self, fact: Fact, value: &[u8]) {
        if self.bytes(fact).is_none() {
            let at = usize::from(self.used) + 2;
            self.add(fact, value);
            if let Some(written) = self.bytes.get_mut(at..usize::from(self.used)) {
                written.make_ascii_lowercase();
            }
        }
    }

    /// Sets a number unless it is set already.
    pub fn set_number(&mut self, fact: Fact, value: u64) {
        self.set(fact, &value.to_be_bytes());
    }

    /// Overwrites a number in place, or sets it.
    pub fn replace_number(&mut self, fact: Fact, value: u64) {
        match self.find(fact) {
            Some((at, 8)) => self.bytes[at..at + 8].copy_from_slice(&value.to_be_bytes()),
            _ => self.set_number(fact, value),
        }
    }

    /// Sets `fact` anew, whatever it was. Longer values are cut to what fits.
    pub fn replace(&mut self, fact: Fact, value: &[u8]) {
        if let Some((at, len)) = self.find(fact) {
            let used = usize::from(self.used);
            self.bytes.copy_within(at + len..used, at - 2);
            self.used -= (len + 2) as u16;
        }
        self.add(fact, value);
    }

    /// Adds an entry even if one of this kind stands already (addresses).
    pub fn add(&mut self, fact: Fact, value: &[u8]) {
        let used = usize::from(self.used);
        let room = FACT_BYTES.saturating_sub(used + 2);
        let len = value.len().min(MAX_VALUE).min(room);
        self.cut |= len < value.len();
        if room == 0 || (len < value.len() && len < 8) {
            return;
        }
        self.bytes[used] = fact as u8;
        self.bytes[used + 1] = len as u8;
        self.bytes[used + 2..used + 2 + len].copy_from_slice(&value[..len]);
        self.used = (used + 2 + len) as u16;
    }

    /// The first value of `fact`.
    pub fn bytes(&self, fact: Fact) -> Option<&[u8]> {
        self.find(fact).map(|(at, len)| &self.bytes[at..at + len])
    }

    /// The first value of `fact` as text; the longest valid UTF-8 beginning of it.
    pub fn text(&self, fact: Fact) -> Option<&str> {
        self.bytes(fact).map(valid_prefix)
    }

    /// The value of `fact` as a number.
    pub fn number(&self, fact: Fact) -> Option<u64> {
        self.bytes(fact)
            .and_then(|bytes| bytes.try_into().ok())
            .map(u64::from_be_bytes)
    }

    /// All entries in the order they were set.
    pub fn all(&self) -> impl Iterator<Item = (u8, &[u8])> {
        let mut at = 0;
        std::iter::from_fn(move || {
            if at + 2 > usize::from(self.used) {
                return None;
            }
            let (tag, len) = (self.bytes[at], usize::from(self.bytes[at + 1]));
            let value = &self.bytes[at + 2..at + 2 + len];
            at += 2 + len;
            Some((tag, value))
        })
    }

    /// All values of one kind.
    pub fn every(&self, fact: Fact) -> impl Iterator<Item = &[u8]> {
        self.all()
            .filter(move |(tag, _)| *tag == fact as u8)
            .map(|(_, value)| value)
    }

    /// Host name this flow is about: TLS server name, HTTP host without port, or DNS query; without the dot
    /// some write at its end.
    pub fn host(&self) -> Option<&str> {
        self.text(Fact::TlsServerName)
            .or_else(|| self.text(Fact::HttpHost).map(without_port))
            .or_else(|| self.text(Fact::DnsQuery))
            .map(|name| name.trim_end_matches('.'))
            .filter(|name| !name.is_empty())
    }

    fn find(&self, fact: Fact) -> Option<(usize, usize)> {
        let mut at = 0;
        while at + 2 <= usize::from(self.used) {
            let len = usize::from(self.bytes[at + 1]);
            if self.bytes[at] == fact as u8 {
                return Some((at + 2, len));
            }
            at += 2 + len;
        }
        None
    }
}

/// `host` of `host:port`, `[v6]:port`.
fn without_port(host: &str) -> &str {
    if let Some(v6) = host.strip_prefix('[') {
        return v6.split(']').next().unwrap_or(v6);
    }
    match host.split_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

fn valid_prefix(bytes: &[u8]) -> &str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_stays() {
        let mut facts = Facts::default();

        facts.set(Fact::HttpHost, b"one.example");
        facts.set(Fact::HttpHost, b"two.example");
        facts.set_number(Fact::HttpStatus, 200);

        assert_eq!(facts.text(Fact::HttpHost), Some("one.example"));
        assert_eq!(facts.number(Fact::HttpStatus), Some(200));
    }

    #[test]
    fn a_replaced_value_leaves_the_others_as_they_were() {
        let mut facts = Facts::default();
        facts.set(Fact::HttpMethod, b"GET");
        facts.set(Fact::CustomInfo, b"first");
        facts.set(Fact::HttpHost, b"one.example");

        facts.replace(Fact::CustomInfo, b"second, longer");

        assert_eq!(facts.text(Fact::CustomInfo), Some("second, longer"));
        assert_eq!(facts.text(Fact::HttpMethod), Some("GET"));
        assert_eq!(facts.text(Fact::HttpHost), Some("one.example"));
        assert_eq!(facts.all().count(), 3);
    }

    #[test]
    fn what_does_not_fit_is_cut_and_said() {
        let mut facts = Facts::default();

        facts.set(Fact::HttpPath, &[b'a'; 1000]);
        facts.set(Fact::HttpUserAgent, &[b'b'; 1000]);
        facts.set(Fact::HttpServer, &[b'c'; 1000]);

        assert!(facts.cut);
        assert_eq!(facts.text(Fact::HttpPath).map(str::len), Some(MAX_VALUE));
        assert!(facts.all().count() <= 3);
    }

    #[test]
    fn room_asked_for_is_left() {
        let mut facts = Facts::default();

        facts.set(Fact::HttpHost, &[b'h'; 255]);
        facts.set_leaving(Fact::HttpPath, &[b'p'; 255], 10);
        facts.set_leaving(Fact::HttpUserAgent, b"agent", 10);
        facts.set_number(Fact::HttpStatus, 200);

        assert!(facts.cut);
        assert_eq!(
            facts.text(Fact::HttpPath).map(str::len),
            Some(FACT_BYTES - 257 - 2 - 10)
        );
        assert_eq!(facts.text(Fact::HttpUserAgent), None);
        assert_eq!(facts.number(Fact::HttpStatus), Some(200));
    }

    #[test]
    fn a_long_value_keeps_both_ends() {
        let mut facts = Facts::default();
        let path = format!("/begin/{}/end.exe", "x".repeat(5_000));

        facts.set_ends_leaving(Fact::HttpPath, path.as_bytes(), 40);

        let kept = facts.text(Fact::HttpPath).unwrap_or_default();
        assert!(
            kept.starts_with("/begin/x") && kept.ends_with("x/end.exe"),
            "{kept}"
        );
        assert_eq!(kept.len(), MAX_VALUE);
        assert!(facts.cut);
    }

    #[test]
    fn a_name_is_kept_in_lower_case_and_shown_without_its_last_dot() {
        let mut facts = Facts::default();

        facts.set_lower(Fact::TlsServerName, b"WWW.Example.Org.");

        assert_eq!(facts.text(Fact::TlsServerName), Some("www.example.org."));
        assert_eq!(facts.host(), Some("www.example.org"));
    }

    #[test]
    fn a_host_header_loses_its_port() {
        for (header, host) in [
            ("a.example:8080", "a.example"),
            ("[::1]:80", "::1"),
            ("b", "b"),
        ] {
            let mut facts = Facts::default();
            facts.set(Fact::HttpHost, header.as_bytes());
            assert_eq!(facts.host(), Some(host));
        }
    }
}
