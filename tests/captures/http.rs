//! HTTP/1.1: what is asked for, how the request is cut into segments.

use super::{File, Net, both, noise};
use crate::support::packets::ACK;
use crate::support::talk::Talk;

const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

pub fn captures() -> Vec<File> {
    [
        both("http_exe", exe),
        both("http_ok", small),
        both("http_8080", |net| {
            let mut talk = net.talk(net.web, 8080);
            let request = request("GET", "/status", "www.example.org:8080", "");
            talk.open().send(true, &request).send(false, &answer(b"up\n"));
            talk.close();
            talk
        }),
        both("http_split_head", |net| {
            let request = request("GET", "/index.html", "www.example.org", "");
            let mut talk = net.talk(net.web, 80);
            talk.open()
                .send_pieces(true, &request, &[2, 40], &[2, 0, 1])
                .send(false, &answer(PAGE))
                .close();
            talk
        }),
        both("http_head", |net| {
            let request = request("HEAD", "/files/setup.zip", "downloads.example", "");
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/zip\r\nContent-Length: 1048576\r\n\r\n";
            let mut talk = net.talk(net.web, 80);
            talk.open().send(true, &request).send(false, head.as_bytes());
            talk.close();
            talk
        }),
        both("http_post", |net| {
            let form = "name=router&note=a+b";
            let extra = format!(
                "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
                form.len()
            );
            let mut post = request("POST", "/cgi-bin/form?step=2", "www.example.org", &extra);
            post.extend_from_slice(form.as_bytes());
            let found = "HTTP/1.1 302 Found\r\nLocation: /done\r\nContent-Length: 0\r\n\r\n";
            let mut talk = net.talk(net.web, 80);
            talk.open().send(true, &post).send(false, found.as_bytes());
            talk.close();
            talk
        }),
        both("http_bytewise", |net| {
            let request = b"GET /setup.exe HTTP/1.1\r\nHost: downloads.example\r\n\r\n";
            let mut talk = net.talk(net.web, 80);
            talk.step = 500;
            talk.open();
            for byte in request {
                talk.say(true, &[*byte]);
            }
            talk.flags(false, ACK).send(false, &answer(b"MZ")).close();
            talk
        }),
    ]
    .concat()
}

/// A program asked for, 64 KiB promised, the connection closed after 14,000 bytes.
fn exe(net: Net) -> Talk {
    let request = request("GET", "/files/setup.exe", "downloads.example", "");
    let mut answer = b"HTTP/1.1 200 OK\r\nServer: example\r\n\
        Content-Type: application/octet-stream\r\nContent-Length: 65536\r\n\r\nMZ\x90\0"
        .to_vec();
    answer.extend(noise(13_996));
    let mut talk = net.talk(net.web, 80);
    talk.open()
        .send(true, &request)
        .send(false, &answer)
        .close();
    talk
}

const PAGE: &[u8] = b"<!doctype html><title>Example</title><p>Hello.</p>\n";

/// A page asked for and given.
pub fn small(net: Net) -> Talk {
    let request = request("GET", "/index.html", "www.example.org", "");
    let mut talk = net.talk(net.web, 80);
    talk.open()
        .send(true, &request)
        .send(false, &answer(PAGE))
        .close();
    talk
}

fn request(method: &str, path: &str, host: &str, extra: &str) -> Vec<u8> {
    format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {AGENT}\r\nAccept: */*\r\n{extra}\r\n")
        .into_bytes()
}

fn answer(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nServer: example\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}
