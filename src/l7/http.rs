//! HTTP/1 (RFC 9112): request line and head of the client, status line and head of the server. Bodies are
//! never read.
//!
//! Lines are split here and not by a parser of whole heads: what a server would still take for a request (bare
//! line feeds, empty lines before the request, a tab behind `Host:`) must not hide it from us. The host
//! that counts is that of the request target, else of the first Host line. Where a head goes on
//! beyond what can be kept, what stands before is taken.

use crate::l7::facts::MAX_VALUE;
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
    let path = if path.len() > MAX_VALUE {
        without_query(path)
    } else {
        path
    };
    facts.set_ends_leaving(Fact::HttpPath, path, LEFT_FOR_AGENT);
    if let Some(agent) = header(head, b"user-agent") {
        facts.set_leaving(Fact::HttpUserAgent, agent, LEFT_FOR_RESPONSE);
    }
}

fn without_query(path: &[u8]) -> &[u8] {
    path.split(|&byte| byte == b'?').next().unwrap_or(path)
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::flow::key::Dir;
    use crate::l7::Progress;
    use crate::l7::testing::{Talk, assert_never_takes_back, look, look_cut, near};

    /// As curl 8 sends it.
    const REQUEST: &[u8] =
        b"GET /files/setup.exe?v=2 HTTP/1.1\r\nHost: Downloads.Example.org:8080\r\n\
        User-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n";
    /// As nginx answers.
    const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx/1.24.0\r\nDate: Tue, 02 Jan 2024 10:00:00 GMT\r\n\
        Content-Type: application/octet-stream\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\nMZ\x90";

    fn text(data: &[u8], fact: Fact) -> Option<String> {
        look(&HTTP, data, 80).1.text(fact).map(str::to_owned)
    }

    #[test]
    fn a_request_tells_method_host_path_and_agent() {
        let (probe, facts) = look(&HTTP, REQUEST, 8080);

        assert_eq!(probe, Probe::Yes(Step::Request));
        assert_eq!(facts.text(Fact::HttpMethod), Some("GET"));
        assert_eq!(
            facts.text(Fact::HttpHost),
            Some("downloads.example.org:8080")
        );
        assert_eq!(facts.text(Fact::HttpPath), Some("/files/setup.exe?v=2"));
        assert_eq!(facts.text(Fact::HttpUserAgent), Some("curl/8.5.0"));
        assert_eq!(facts.host(), Some("downloads.example.org"));
    }

    #[test]
    fn a_response_tells_status_type_and_server() {
        let (probe, facts) = look(&HTTP, RESPONSE, 80);

        assert_eq!(probe, Probe::Yes(Step::Done));
        assert_eq!(facts.number(Fact::HttpStatus), Some(200));
        assert_eq!(
            facts.text(Fact::HttpContentType),
            Some("application/octet-stream")
        );
        assert_eq!(facts.text(Fact::HttpServer), Some("nginx/1.24.0"));
    }

    #[test]
    fn an_interim_response_is_not_the_one() {
        let data = [b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", RESPONSE].concat();

        assert_eq!(look(&HTTP, &data, 80).1.number(Fact::HttpStatus), Some(200));
        assert_eq!(look(&HTTP, &data[..42], 80).0, Probe::Yes(Step::Begun));
    }

    #[test]
    fn of_two_hosts_the_first_counts() {
        let data = b"GET / HTTP/1.1\r\nHost: one.example\r\nHost: two.example\r\n\r\n";

        assert_eq!(text(data, Fact::HttpHost).as_deref(), Some("one.example"));
    }

    #[test]
    fn the_host_of_an_absolute_target_counts_more_than_the_line() {
        let data = b"GET HTTP://user@one.example:81/a?b HTTP/1.1\r\nHost: two.example\r\n\r\n";

        assert_eq!(
            text(data, Fact::HttpHost).as_deref(),
            Some("one.example:81")
        );
        assert_eq!(text(data, Fact::HttpPath).as_deref(), Some("/a?b"));
    }

    #[test]
    fn a_long_path_does_not_hide_its_ending() {
        for target in [
            format!("/{}/setup.exe", "long/".repeat(100)),
            format!("/setup.exe?{}", "q".repeat(1_000)),
        ] {
            let data = format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n\r\n");

            let path = text(data.as_bytes(), Fact::HttpPath).unwrap_or_default();

            assert!(path.ends_with("/setup.exe"), "{path}");
        }
    }

    #[test]
    fn a_tunnel_is_asked_for_by_its_host() {
        let data = b"CONNECT one.example:443 HTTP/1.1\r\nHost: two.example:443\r\n\r\n";

        assert_eq!(
            text(data, Fact::HttpHost).as_deref(),
            Some("one.example:443")
        );
        assert_eq!(text(data, Fact::HttpPath).as_deref(), Some(""));
    }

    #[test]
    fn what_servers_overlook_hides_nothing() {
        for data in [
            &b"\r\n\r\nGET /a HTTP/1.1\r\nHost: x.example\r\n\r\n"[..],
            b"GET /a HTTP/1.1\nhoSt:x.example\n\n",
            b"GET   /a  HTTP/1.1\r\nA: b\r\nHost:\t x.example \r\n\r\n",
            b"GET /a HTTP/1.1\r\nHost : x.example.\r\n\r\n",
        ] {
            let (probe, facts) = look(&HTTP, data, 80);

            assert_eq!(probe, Probe::Yes(Step::Request));
            assert_eq!(facts.host(), Some("x.example"));
            assert_eq!(facts.text(Fact::HttpPath), Some("/a"));
        }
    }

    #[test]
    fn a_body_in_chunks_is_not_read() {
        let data = b"POST /up HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n\
            ffffffffffffffffffff;x=\"\r\nHost: b.example\r\n0\r\n\r\nGET /two HTTP/1.1\r\nHost: c.example\r\n\r\n";

        assert_eq!(text(data, Fact::HttpHost).as_deref(), Some("a.example"));
        assert_eq!(text(data, Fact::HttpPath).as_deref(), Some("/up"));
    }

    #[test]
    fn what_is_not_http_is_ruled_out_at_once() {
        for data in [
            &b"SSH-2.0-OpenSSH_9.6\r\n"[..],
            b"\x16\x03\x01",
            b"EHLO mail.example\r\n",
            b"GETX",
            b"ICY 200 OK\r\n",
            b"HTTP/2",
            b"OPTIONS rtsp://cam.example/1 RTSP/1.0\r\n",
            b"OPTIONS sip:a@b.example SIP/2.0\r\n",
            b"PRI * HTTP/2.0\r\n",
            b"GET /\r\n",
            b"GET \x01",
        ] {
            assert_eq!(
                look(&HTTP, data, 80).0,
                Probe::No,
                "{}",
                data.escape_ascii()
            );
        }
    }

    #[test]
    fn a_beginning_is_waited_on() {
        for data in [
            &b""[..],
            b"G",
            b"GE",
            b"H",
            b"HTT",
            b"\r\n",
            b"GET ",
            b"GET / HTTP/1.1",
            b"SUBSC",
        ] {
            assert_eq!(
                look(&HTTP, data, 80).0,
                Probe::NeedMore,
                "{}",
                data.escape_ascii()
            );
        }
    }

    #[test]
    fn a_head_without_end_settles_with_what_is_there() {
        let mut data = b"GET /a HTTP/1.1\r\nHost: a.example\r\nCookie: ".to_vec();
        data.resize(5_000, b'x');

        let (probe, facts) = look_cut(&HTTP, &data, 80);

        assert_eq!(probe, Probe::Yes(Step::Begun));
        assert_eq!(facts.text(Fact::HttpHost), Some("a.example"));
    }

    #[test]
    fn a_target_without_end_is_http_still() {
        let mut data = b"GET /".to_vec();
        data.resize(2_000, b'a');

        let (probe, facts) = look_cut(&HTTP, &data, 80);

        assert_eq!(probe, Probe::Yes(Step::Begun));
        assert!(facts.cut);
        data.extend_from_slice(b" RTSP/1.0\r\n\r\n");
        assert_never_takes_back(&HTTP, &data, 80);
    }

    #[test]
    fn long_names_leave_room_for_the_answer() {
        let request = format!(
            "GET /{} HTTP/1.1\r\nHost: {}.example\r\nUser-Agent: {}\r\n\r\n",
            "p".repeat(300),
            "h".repeat(60),
            "u".repeat(300)
        );
        let mut talk = Talk::tcp(80);

        assert_eq!(
            talk.say(Dir::ToServer, 0, request.as_bytes()),
            Progress::Request
        );
        assert_eq!(talk.say(Dir::ToClient, 0, RESPONSE), Progress::Done);

        assert_eq!(talk.detail.facts.number(Fact::HttpStatus), Some(200));
        assert_eq!(
            talk.detail.facts.text(Fact::HttpContentType),
            Some("application/octet-stream")
        );
        assert_eq!(talk.detail.facts.host().map(str::len), Some(68));
    }

    #[test]
    fn cut_anywhere_it_says_the_same() {
        for at in 1..REQUEST.len() {
            let mut talk = Talk::tcp(8080);
            talk.shake_hands();

            let first = talk.say(Dir::ToServer, 0, &REQUEST[..at]);
            let second = talk.say(Dir::ToServer, at, &REQUEST[at..]);

            assert_eq!(
                (first, second),
                (Progress::Undecided, Progress::Request),
                "cut at {at}"
            );
            assert_eq!(
                talk.detail.facts.host(),
                Some("downloads.example.org"),
                "cut at {at}"
            );
            assert_eq!(talk.detector.buffers_lent(), 0);
        }
    }

    #[test]
    fn a_byte_a_segment_says_the_same() {
        let mut talk = Talk::tcp(80);
        talk.shake_hands();

        let mut last = Progress::Undecided;
        for (at, byte) in REQUEST.iter().enumerate() {
            last = talk.say(Dir::ToServer, at, &[*byte]);
            talk.packet(Dir::ToClient, Some((1, false)), b"", 0); // its acknowledgement
        }

        // Far over the usual limit: the answer is not waited for.
        assert_eq!(last, Progress::Done);
        assert_eq!(
            talk.detail.facts.text(Fact::HttpPath),
            Some("/files/setup.exe?v=2")
        );
    }

    #[test]
    fn no_answer_is_taken_back() {
        assert_never_takes_back(&HTTP, REQUEST, 80);
        assert_never_takes_back(&HTTP, RESPONSE, 80);
    }

    proptest! {
        #[test]
        fn of_any_bytes_no_answer_is_taken_back(data in prop_oneof![near(REQUEST), near(RESPONSE)]) {
            assert_never_takes_back(&HTTP, &data, 80);
        }
    }
}
