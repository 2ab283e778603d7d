//! JSON text piece by piece into a byte buffer: fields in the order they are written, nothing in between.

use std::fmt::{self, Display, Write as _};
use std::io::Write as _;

use crate::time::Micros;
use crate::time::date::Date;

/// Writes one object. What is not closed by the caller is not JSON.
pub struct Json<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Json<'a> {
    /// Goes on where `out` ends, with the brace that opens an object.
    pub fn begin(out: &'a mut Vec<u8>) -> Json<'a> {
        out.push(b'{');
        Json { out }
    }

    /// The brace that closes an object.
    pub fn end(&mut self) {
        self.out.push(b'}');
    }

    /// The bracket that closes an array.
    pub fn end_array(&mut self) {
        self.out.push(b']');
    }

    /// A field that is an object.
    pub fn object(&mut self, name: &str) {
        self.name(name);
        self.out.push(b'{');
    }

    /// A field that is an array.
    pub fn array(&mut self, name: &str) {
        self.name(name);
        self.out.push(b'[');
    }

    /// An object in an array.
    pub fn item(&mut self) {
        self.comma();
        self.out.push(b'{');
    }

    /// A text in an array.
    pub fn text_item(&mut self, value: impl Display) {
        self.comma();
        self.quoted(value);
    }

    /// A number in an array.
    pub fn number_item(&mut self, value: impl Into<u64>) {
        self.comma();
        let _ = write!(self.out, "{}", value.into()); // a vector takes all
    }

    /// A text: escaped, whatever it holds.
    pub fn text(&mut self, name: &str, value: impl Display) {
        self.name(name);
        self.quoted(value);
    }

    /// A stranger's text: valid UTF-8 made of it, cut at `most` bytes, escaped.
    pub fn bytes(&mut self, name: &str, value: &[u8], most: usize) {
        self.text(name, Lossy { value, most });
    }

    /// A number.
    pub fn number(&mut self, name: &str, value: impl Into<u64>) {
        self.name(name);
        let _ = write!(self.out, "{}", value.into()); // a vector takes all
    }

    /// A truth value.
    pub fn flag(&mut self, name: &str, value: bool) {
        self.name(name);
        self.out
            .extend_from_slice(if value { b"true" } else { b"false" });
    }

    /// A field whose text is JSON itself, as `fill` writes it.
    pub fn nested(&mut self, name: &str, fill: impl FnOnce(&mut Json)) {
        let mut inner = Vec::new();
        let mut json = Json::begin(&mut inner);
        fill(&mut json);
        json.end();
        self.text(
            name,
            Lossy {
                value: &inner,
                most: inner.len(),
            },
        );
    }

    fn name(&mut self, name: &str) {
        self.comma();
        self.quoted(name);
        self.out.push(b':');
    }

    fn comma(&mut self) {
        if !matches!(self.out.last(), Some(b'{' | b'[')) {
            self.out.push(b',');
        }
    }

    fn quoted(&mut self, value: impl Display) {
        self.out.push(b'"');
        let _ = write!(Escaped(self.out), "{value}"); // a vector takes all
        self.out.push(b'"');
    }
}

/// Escapes what JSON asks for, and every other control character too: lines end up on terminals.
struct Escaped<'a>(&'a mut Vec<u8>);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '"' => self.0.extend_from_slice(b"\\\""),
                '\\' => self.0.extend_from_slice(b"\\\\"),
                '\n' => self.0.extend_from_slice(b"\\n"),
                '\r' => self.0.extend_from_slice(b"\\r"),
                '\t' => self.0.extend_from_slice(b"\\t"),
                c if c.is_control() => {
                    let _ = write!(self.0, "\\u{:04x}", u32::from(c)); // a vector takes all
                }
                c => self
                    .0
                    .extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        Ok(())
    }
}

/// Bytes as text of at most `most` bytes; what is no UTF-8 becomes U+FFFD.
struct Lossy<'a> {
    value: &'a [u8],
    most: usize,
}

impl Display for Lossy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut room = self.most;
        for chunk in self.value.utf8_chunks() {
            let broken = if chunk.invalid().is_empty() {
                None
            } else {
                Some('\u{fffd}')
            };
            for c in chunk.valid().chars().chain(broken) {
                match room.checked_sub(c.len_utf8()) {
                    Some(left) => room = left,
                    None => return Ok(()),
                }
                f.write_char(c)?;
            }
        }
        Ok(())
    }
}

/// `2026-01-02T03:04:05.678901+0000`, the form EVE has.
pub struct Timestamp(pub Micros);

impl Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}+0000", Seconds(self.0), self.0.0 % 1_000_000)
    }
}

/// `2026-01-02T03:04:05`, the form certificate dates have there.
pub struct Seconds(pub Micros);

impl Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Date {
            year,
            month,
            day,
            hour,
            minute,
            second,
            ..
        } = Date::of(self.0);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(fill: impl FnOnce(&mut Json)) -> String {
        let mut out = Vec::new();
        let mut json = Json::begin(&mut out);
        fill(&mut json);
        json.end();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn commas_stand_between_and_nowhere_else() {
        let text = written(|json| {
            json.object("empty");
            json.end();
            json.number("n", 1u32);
            json.array("list");
            json.item();
            json.flag("yes", true);
            json.end();
            json.text_item("x");
            json.end_array();
        });

        assert_eq!(text, r#"{"empty":{},"n":1,"list":[{"yes":true},"x"]}"#);
    }

    #[test]
    fn a_stranger_s_text_is_escaped_cut_and_valid() {
        let text = written(|json| json.bytes("t", b"\"\\\n\x1b\xff\xc3\xa9\xc3\xa9", 10));

        assert_eq!(text, "{\"t\":\"\\\"\\\\\\n\\u001b\u{fffd}\u{e9}\"}");
    }

    #[test]
    fn json_in_a_text_survives_both_layers() {
        let text = written(|json| json.nested("outer", |inner| inner.text("in", "a \"b\"")));

        assert_eq!(text, r#"{"outer":"{\"in\":\"a \\\"b\\\"\"}"}"#);
    }

    #[test]
    fn times_are_written_as_eve_has_them() {
        let at = Micros(1_767_323_045_678_901);

        assert_eq!(Timestamp(at).to_string(), "2026-01-02T03:04:05.678901+0000");
        assert_eq!(Seconds(at).to_string(), "2026-01-02T03:04:05");
    }

    proptest! {
        #[test]
        fn whatever_bytes_come_a_reader_gets_the_same_text(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let text = written(|json| json.bytes("t", &bytes, 1_000));
            let read: serde_json::Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(read["t"].as_str().unwrap(), String::from_utf8_lossy(&bytes));
        }
    }
}
