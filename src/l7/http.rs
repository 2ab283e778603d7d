//! HTTP/1 (RFC 9112): request line and head of the client, status line and head of the server. Bodies are
//! never read.
//!
//! Lines are split here and not by a parser of whole heads: what a server would still take for a request (bare
//! line feeds, empty lines before the request, a tab behind `Host:`) must not hide it from us. The host
//! that counts is that of the request target, else of the first Host line. Where a head goes on
//! beyond what can be kept, what stands before is taken.

use crate::l7::{Dissector, Fact, Facts, Input, Probe, Proto, Step, Transport};

/// The dissector. Servers commonly refuse heads of more than 8 KiB.
pub const HTTP: Dissector = Dissector {
    proto: Proto::HTTP,
    transport: Transport::Tcp,
    limit_bytes: 8_192,
    probe,
};

/// Methods a request may begin with: RFC 9110, PATCH, WebDAV and what devices at home speak (UPnP eventing).
const METHODS: &[&[u8]] = &[
    b"GET",
    b"POST",
    b"HEAD",
    b"PUT",
    b"OPTIONS",
    b"DELETE",
    b"CONNECT",
    b"PATCH",
    b"TRACE",
    b"PROPFIND",
    b"PROPPATCH",
    b"MKCOL",
    b"COPY",
    b"MOVE",
    b"LOCK",
    b"UNLOCK",
    b"REPORT",
    b"SEARCH",
    b"SUBSCRIBE",
    b"UNSUBSCRIBE",
    b"NOTIFY",
    b"PURGE",
    b"RPC_IN_DATA",
    b"RPC_OUT_DATA",
];

/// Empty lines before a request that are skipped (RFC 9112, 2.2: at least one).
const MAX_EMPTY: usize = 8;
/// A target this long that is still going on makes it HTTP before the version is seen.
const LONG_TARGET: usize = 1_024;
/// Interim responses (100, 103) before the one that counts.
const MAX_INTERIM: usize = 4;
/// Bytes of facts left free behind path and user agent: status, type and server of the response.
const LEFT_FOR_RESPONSE: usize = 10 + 42 + 30;
/// Bytes of facts left free behind the path, for the user agent too.
const LEFT_FOR_AGENT: usize = LEFT_FOR_RESPONSE + 62;

fn probe(input: &Input, facts: &mut Facts) -> Probe {
    let empty = input
        .data
        .iter()
        .take(MAX_EMPTY)
        .take_while(|byte| matches!(byte, b'\r' | b'\n'));
    let data = &input.data[empty.count()..];
    if agree(data, b"HTTP/1.") {
        response(data, input.cut, facts) // or HEAD, while there is but one letter of it
    } else {
        request(data, input.cut, facts)
    }
}

/// Whether the shorter of the two begins the longer one.
fn agree(data: &[u8], word: &[u8]) -> bool {
    data.iter().zip(word).all(|(a, b)| a == b)
}

fn request(data: &[u8], cut: bool, facts: &mut Facts) -> Probe {
    let Some(method) = METHODS.iter().find(|method| begins_with_word(data, method)) else {
        let may_be = METHODS
            .iter()
            .any(|method| data.len() <= method.len() && agree(data, method));
        return if may_be { Probe::NeedMore } else { Probe::No };
    };
    let line_end = data.iter().position(|byte| *byte == b'\n');
    let line = &data[method.len() + 1..line_end.unwrap_or(data.len())];
    let line = line.trim_ascii_start();
    let judged = &line[..line.len().min(LONG_TARGET)];
    if judged
        .iter()
        .any(|byte| byte.is_ascii_control() && !matches!(byte, b'\r' | b'\t'))
    {
        return Probe::No;
    }
    let long = judged.len() == LONG_TARGET && (line[0] == b'/' || agree(line, b"http"));
    let Some(line_end) = line_end else {
        if long && cut {
            note_request(method, line, &[], facts);
        }
        return if long {
            Probe::Yes(Step::Begun)
        } else {
            Probe::NeedMore
        };
    };
    let line = line.trim_ascii_end();
    let Some(target) = target(line).or(long.then_some(line)) else {
        return Probe::No;
    };
    let head = &data[line_end + 1..];
    let complete = head_length(head).is_some();
    if complete || cut {
        note_request(method, target, head, facts);
    }
    Probe::Yes(if complete { Step::Request } else { Step::Begun })
}

/// Whether `data` begins with `word` and a space behind it.
fn begins_with_word(data: &[u8], word: &[u8]) -> bool {
    data.len() > word.len() && data.starts_with(word) && data[word.len()] == b' '
}

/// The target of a request line, of which the method is gone: what stands before the version.
fn target(line: &[u8]) -> Option<&[u8]> {
    let (target, version) = line.split_at_checked(line.len().checked_sub(8)?)?;
    let space = target.last().is_some_and(u8::is_ascii_whitespace);
    let known = version.starts_with(b"HTTP/1.") && version[7].is_ascii_digit();
    let target = target.trim_ascii_end();
    (space && known && !target.is_empty()).then_some(target)
}

fn note_request(method: &[u8], target: &[u8], head: &[u8], facts: &mut Facts) {
    if facts.bytes(Fact::HttpMethod).is_some() {
        return;
    }
    let (authority, path) = split_target(method, target);
    facts.set(Fact::HttpMethod, method);
    if let Some(host) = authority.or_else(|| header(head, b"host")) {
        facts.set_lower(Fact::HttpHost, host);
    }
    facts.set_leaving(Fact::HttpPath, path, LEFT_FOR_AGENT);
    if let Some(agent) = header(head, b"user-agent") {
        facts.set_leaving(Fact::HttpUserAgent, agent, LEFT_FOR_RESPONSE);
    }
}

/// Authority, if the target has one, and path (RFC 9112, 3.2).
fn split_target<'a>(method: &[u8], target: &'a [u8]) -> (Option<&'a [u8]>, &'a [u8]) {
    if method == b"CONNECT" {
        return (Some(target), &[]);
    }
    for scheme in [b"http://".as_slice(), b"https://"] {
        let Some((start, rest)) = target.split_at_checked(scheme.len()) else {
            continue;
        };
        if start.eq_ignore_ascii_case(scheme) {
            let end = rest
                .iter()
                .position(|byte| matches!(byte, b'/' | b'?'))
                .unwrap_or(rest.len());
            let (authority, path) = rest.split_at(end);
            let user = authority.iter().position(|byte| *byte == b'@');
            return (Some(&authority[user.map_or(0, |at| at + 1)..]), path);
        }
    }
    (None, target)
}

fn response(mut data: &[u8], cut: bool, facts: &mut Facts) -> Probe {
    let mut begun = Probe::NeedMore;
    for _ in 0..=MAX_INTERIM {
        let Some(status) = status(data) else {
            let may_be = data.len() < b"HTTP/1.1 200".len() && agree(data, b"HTTP/1.");
            return match begun {
                _ if may_be => begun,
                Probe::NeedMore => Probe::No,
                // Behind an interim response: whatever it is, it tells nothing more.
                _ => Probe::Yes(Step::Done),
            };
        };
        begun = Probe::Yes(Step::Begun);
        let Some(line_end) = data.iter().position(|byte| *byte == b'\n') else {
            return begun;
        };
        let head = &data[line_end + 1..];
        let length = head_length(head);
        let interim = (100..200).contains(&status) && status != 101;
        if let (true, Some(length)) = (interim, length) {
            data = &head[length..];
            continue;
        }
        if interim || (length.is_none() && !cut) {
            return begun;
        }
        facts.set_number(Fact::HttpStatus, u64::from(status));
        for (fact, name) in [
            (Fact::HttpContentType, &b"content-type"[..]),
            (Fact::HttpServer, b"server"),
        ] {
            if let Some(value) = header(head, name) {
                facts.set(fact, value);
            }
        }
        return Probe::Yes(Step::Done);
    }
    Probe::Yes(Step::Done)
}

/// The status code behind `HTTP/1.x `.
fn status(data: &[u8]) -> Option<u16> {
    let line: &[u8; 12] = data.first_chunk()?;
    let digits = &line[9..];
    (line.starts_with(b"HTTP/1.")
        && line[7].is_ascii_digit()
        && line[8] == b' '
        && digits.iter().all(u8::is_ascii_digit)
        && digits[0] != b'0')
        .then(|| {
            digits
                .iter()
                .fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'))
        })
}

/// Length of a head from behind its first line to behind its empty line, if that is there.
fn head_length(head: &[u8]) -> Option<usize> {
    let mut start = 0;
    loop {
        let end = start + head[start..].iter().position(|byte| *byte == b'\n')?;
        if matches!(&head[start..end], b"" | b"\r") {
            return Some(end + 1);
        }
        start = end + 1;
    }
}

/// Value of the first header line of this name (lower case). The last line of what is there counts only if
/// it is complete.
fn header<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut rest = head;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let line = &rest[..end];
        if matches!(line, b"" | b"\r") {
            return None;
        }
        if let Some((key, value)) = line.split_at_checked(name.len())
            && key.eq_ignore_ascii_case(name)
            && let Some(value) = value.trim_ascii_start().strip_prefix(b":")
        {
            return Some(value.trim_ascii());
        }
        rest = &rest[end + 1..];
    }
    None
}
