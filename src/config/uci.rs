//! The router's configuration text (UCI) to sections, options and lists, each with its line.
//!
//! Knows the grammar and nothing of what options mean. The grammar is libuci's: `package NAME`,
//! `config TYPE [NAME]`, `option NAME VALUE`, `list NAME VALUE`, one statement a line or divided by `;`;
//! words in single quotes (taken literally), double quotes (backslash escapes) or bare (likewise), quoted
//! parts that touch are one word, quotes may span lines, `#` begins a comment outside quotes. Staged
//! changes are not looked at: they are not in force before `uci commit`.

use std::iter::Peekable;
use std::str::Chars;

/// Sections a file may have; far beyond any real one, so that finding duplicates stays cheap.
const MAX_SECTIONS: usize = 1_000;
/// Options a section may have.
const MAX_OPTIONS: usize = 200;

/// One `config` block. A later block of the same type and name continues the earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Type: `main` in `config main 'x'`.
    pub kind: String,
    /// Name; none for an anonymous section.
    pub name: Option<String>,
    /// Line of its (first) `config` statement, from 1.
    pub line: u32,
    /// Its options and lists in the order of their first mention.
    pub options: Vec<Entry>,
}

/// An option with one value, or a list with any number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Name.
    pub name: String,
    /// Written with `list`.
    pub list: bool,
    /// Values; never empty. An `option` keeps the last one given.
    pub values: Vec<Word>,
}

/// A word of the text and the line it begins on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Without its quotes and escapes.
    pub text: String,
    /// From 1.
    pub line: u32,
}

/// What is wrong with the text, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct Error {
    /// From 1.
    pub line: u32,
    /// In words.
    pub what: String,
}

/// Reads a whole file.
pub fn parse(text: &str) -> Result<Vec<Section>, Error> {
    let mut words = Words::new(text);
    let mut sections: Vec<Section> = Vec::new();
    let mut current = None;
    while let Some(statement) = words.statement()? {
        match statement.keyword.text.as_str() {
            "package" => {
                statement.arguments(1, 1, "package NAME")?;
            }
            "config" => current = Some(statement.open(&mut sections)?),
            "option" | "list" => {
                let section = current.map(|at: usize| &mut sections[at]).ok_or_else(|| {
                    error(statement.keyword.line, "an option before any 'config' line")
                })?;
                statement.set(section)?;
            }
            other => {
                let what = format!("'{other}' is none of 'config', 'option', 'list', 'package'");
                return Err(error(statement.keyword.line, what));
            }
        }
    }
    Ok(sections)
}

/// A keyword and its arguments.
struct Statement {
    keyword: Word,
    rest: Vec<Word>,
}

impl Statement {
    /// The arguments, if there are `least` to `most`.
    fn arguments(&self, least: usize, most: usize, form: &str) -> Result<&[Word], Error> {
        if (least..=most).contains(&self.rest.len()) {
            Ok(&self.rest)
        } else {
            let what = format!("expected {form}; a value with blanks needs quotes");
            Err(error(self.keyword.line, what))
        }
    }

    /// `config`: the index of the section it opens or continues.
    fn open(&self, sections: &mut Vec<Section>) -> Result<usize, Error> {
        let words = self.arguments(1, 2, "config TYPE ['NAME']")?;
        let kind = checked_name(&words[0], "section type")?;
        let name = match words.get(1) {
            Some(word) if !word.text.is_empty() => Some(checked_name(word, "section name")?),
            _ => None,
        };
        let same = |s: &Section| name.is_some() && s.kind == kind && s.name == name;
        if let Some(at) = sections.iter().position(same) {
            return Ok(at);
        }
        if sections.len() == MAX_SECTIONS {
            let what = format!("more than {MAX_SECTIONS} sections");
            return Err(error(self.keyword.line, what));
        }
        sections.push(Section {
            kind,
            name,
            line: self.keyword.line,
            options: Vec::new(),
        });
        Ok(sections.len() - 1)
    }

    /// `option` replaces what stood, `list` adds to it.
    fn set(&self, section: &mut Section) -> Result<(), Error> {
        let list = self.keyword.text == "list";
        let words = self.arguments(
            2,
            2,
            if list {
                "list NAME 'VALUE'"
            } else {
                "option NAME 'VALUE'"
            },
        )?;
        let name = checked_name(&words[0], "option name")?;
        let value = words[1].clone();
        let full = section.options.len() == MAX_OPTIONS;
        match section.options.iter_mut().find(|entry| entry.name == name) {
            Some(entry) if list => {
                entry.list = true;
                entry.values.push(value);
            }
            Some(entry) => {
                entry.list = false;
                entry.values = vec![value];
            }
            None if full => {
                let what = format!("more than {MAX_OPTIONS} options in one section");
                return Err(error(self.keyword.line, what));
            }
            None => section.options.push(Entry {
                name,
                list,
                values: vec![value],
            }),
        }
        Ok(())
    }
}

/// The text word by word.
struct Words<'a> {
    chars: Peekable<Chars<'a>>,
    line: u32,
}

impl<'a> Words<'a> {
    fn new(text: &'a str) -> Self {
        Words {
            chars: text.chars().peekable(),
            line: 1,
        }
    }

    /// The next statement that is not empty; none at the end.
    fn statement(&mut self) -> Result<Option<Statement>, Error> {
        let mut found: Option<Statement> = None;
        while let Some(&next) = self.chars.peek() {
            match next {
                '\n' | ';' => {
                    self.next();
                    if found.is_some() {
                        break;
                    }
                }
                '#' => {
                    while self.chars.peek().is_some_and(|c| *c != '\n') {
                        self.next();
                    }
                }
                c if c.is_whitespace() => {
                    self.next();
                }
                _ => {
                    let word = self.word()?;
                    match &mut found {
                        None => {
                            found = Some(Statement {
                                keyword: word,
                                rest: Vec::new(),
                            })
                        }
                        Some(statement) => statement.rest.push(word),
                    }
                }
            }
        }
        Ok(found)
    }

    /// A word; the text stands at its first character.
    fn word(&mut self) -> Result<Word, Error> {
        let line = self.line;
        let mut text = String::new();
        while let Some(&next) = self.chars.peek() {
            match next {
                '#' | ';' => break,
                c if c.is_whitespace() => break,
                '\'' | '"' => {
                    self.next();
                    self.quoted(next, &mut text)?;
                }
                '\\' => {
                    self.next();
                    match self.next() {
                        Some('\n') | None => {} // the line goes on
                        Some(c) => text.push(c),
                    }
                }
                '\0' => return Err(error(self.line, "a NUL byte; this is no text file")),
                c => {
                    text.push(c);
                    self.next();
                }
            }
        }
        Ok(Word { text, line })
    }

    /// What stands up to the closing `quote`.
    fn quoted(&mut self, quote: char, text: &mut String) -> Result<(), Error> {
        let line = self.line;
        loop {
            let found = match self.next() {
                Some('\\') if quote == '"' => self.next(),
                Some(c) if c == quote => return Ok(()),
                found => found,
            };
            match found {
                Some('\0') => return Err(error(self.line, "a NUL byte; this is no text file")),
                Some(c) => text.push(c),
                None => {
                    let what = format!("the quote ({quote}) opened here is never closed");
                    return Err(error(line, what));
                }
            }
        }
    }

    fn next(&mut self) -> Option<char> {
        let next = self.chars.next();
        self.line += u32::from(next == Some('\n'));
        next
    }
}

/// UCI allows letters, digits and `_` in names.
fn checked_name(word: &Word, role: &str) -> Result<String, Error> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if !word.text.is_empty() && word.text.bytes().all(allowed) {
        Ok(word.text.clone())
    } else {
        let what = format!(
            "{role} '{}' may have letters, digits and _ only",
            word.text.escape_debug()
        );
        Err(error(word.line, what))
    }
}

fn error(line: u32, what: impl Into<String>) -> Error {
    Error {
        line,
        what: what.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fmt::Write as _;

    /// The text of `sections`, as `uci export` writes it.
    fn write(sections: &[Section]) -> String {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
        let mut text = String::new();
        for section in sections {
            text.push_str("config ");
            text.push_str(&section.kind);
            if let Some(name) = &section.name {
                let _ = write!(text, " {}", quoted(name));
            }
            text.push('\n');
            for entry in &section.options {
                let keyword = if entry.list { "list" } else { "option" };
                for value in &entry.values {
                    let _ = writeln!(text, "\t{keyword} {} {}", entry.name, quoted(&value.text));
                }
            }
            text.push('\n');
        }
        text
    }

    fn values<'a>(section: &'a Section, name: &str) -> Vec<&'a str> {
        let entry = section.options.iter().find(|e| e.name == name);
        entry.map_or(Vec::new(), |e| {
            e.values.iter().map(|v| v.text.as_str()).collect()
        })
    }

    fn fault(text: &str) -> (u32, String) {
        let error = parse(text).expect_err("malformed");
        (error.line, error.what)
    }

    #[test]
    fn sections_options_and_lists_come_with_their_lines() {
        let text = "package flowreeve\n\nconfig main 'main'\n\toption mode 'monitor'  # how\n\tlist network lan\n\tlist network guest\nconfig exempt\n\toption src 10.0.0.1\n";

        let sections = parse(text).unwrap();

        assert_eq!(sections.len(), 2);
        assert_eq!(
            (
                sections[0].kind.as_str(),
                sections[0].name.as_deref(),
                sections[0].line
            ),
            ("main", Some("main"), 3)
        );
        assert_eq!(values(&sections[0], "mode"), ["monitor"]);
        assert_eq!(values(&sections[0], "network"), ["lan", "guest"]);
        assert_eq!(sections[0].options[1].values[1].line, 6);
        assert_eq!((sections[1].name.as_deref(), sections[1].line), (None, 7));
    }

    #[test]
    fn quotes_escapes_and_touching_parts_make_one_word() {
        for (written, read) in [
            (r#"'a b'"#, "a b"),
            (r#""a \"b\" \\ c""#, r#"a "b" \ c"#),
            (r#"'it'\''s'"#, "it's"),
            (r#"one"two"'three'"#, "onetwothree"),
            (r#"a\ b"#, "a b"),
            (r#"'no \escape'"#, r"no \escape"),
            (r#"'#no comment'"#, "#no comment"),
            (r#"word#comment"#, "word"),
            ("''", ""),
        ] {
            let text = format!("config main\noption x {written}\n");
            assert_eq!(values(&parse(&text).unwrap()[0], "x"), [read], "{written}");
        }
    }

    #[test]
    fn a_quoted_value_spans_lines_and_lines_are_counted_through_it() {
        let text = "config main\n\toption note 'first\nsecond'\n\toption next \"a\nb\"\n\tbad\n";

        assert_eq!(fault(text).0, 6);
        let sections = parse(&text.replace("\tbad\n", "")).unwrap();
        assert_eq!(values(&sections[0], "note"), ["first\nsecond"]);
        assert_eq!(values(&sections[0], "next"), ["a\nb"]);
        assert_eq!(sections[0].options[1].values[0].line, 4);
    }

    #[test]
    fn a_named_section_goes_on_where_it_is_named_again() {
        let text = "config main m\noption a 1\nlist l x\nconfig other\nconfig main m\noption a 2\nlist l y\noption l z\nlist l w";

        let sections = parse(text).unwrap();

        assert_eq!(sections.len(), 2);
        assert_eq!(values(&sections[0], "a"), ["2"]);
        assert_eq!(values(&sections[0], "l"), ["z", "w"]);
    }

    #[test]
    fn statements_may_share_a_line() {
        let sections = parse("config main; option a 1; option b 2").unwrap();

        assert_eq!(
            (values(&sections[0], "a"), values(&sections[0], "b")),
            (vec!["1"], vec!["2"])
        );
    }

    #[test]
    fn malformed_text_is_refused_with_the_line_to_look_at() {
        for (text, line, part) in [
            ("option a b", 1, "before any 'config'"),
            ("config main\noption a", 2, "expected option"),
            ("config main\n\n  option a b c", 3, "needs quotes"),
            ("config main\nlist a", 2, "expected list"),
            ("config", 1, "expected config"),
            ("config a b c", 1, "expected config"),
            ("config main\noption a 'x\n\n", 2, "never closed"),
            ("config main\noption a \"x\\", 2, "never closed"),
            ("config main\nopton a b", 2, "'opton' is none of"),
            ("config main\noption my-name b", 2, "letters, digits"),
            ("config 'my type'", 1, "letters, digits"),
            ("package", 1, "expected package"),
            ("config main\noption a \0", 2, "NUL"),
        ] {
            let (at, what) = fault(text);
            assert_eq!(at, line, "{text:?}");
            assert!(what.contains(part), "{text:?}: {what}");
        }
    }

    #[test]
    fn sections_and_options_beyond_reason_are_refused() {
        let many = "config exempt\n".repeat(MAX_SECTIONS + 1);
        let mut wide = String::from("config main\n");
        for n in 0..=MAX_OPTIONS {
            let _ = writeln!(wide, "option o{n} x");
        }

        assert_eq!(fault(&many).0, MAX_SECTIONS as u32 + 1);
        assert_eq!(fault(&wide).0, MAX_OPTIONS as u32 + 2);
    }

    fn section() -> impl Strategy<Value = Section> {
        let name = "[a-z0-9_]{1,8}";
        let value = "[^\\x00]{0,20}";
        let word = |text: String| Word { text, line: 0 };
        let entry = (name, any::<bool>(), prop::collection::vec(value, 1..4)).prop_map(
            move |(name, list, mut texts)| {
                texts.truncate(if list { 4 } else { 1 });
                Entry {
                    name,
                    list,
                    values: texts.into_iter().map(word).collect(),
                }
            },
        );
        (
            name,
            prop::option::of(name),
            prop::collection::vec(entry, 0..5),
        )
            .prop_map(|(kind, name, mut options)| {
                let mut seen = std::collections::HashSet::new();
                options.retain(|entry: &Entry| seen.insert(entry.name.clone()));
                Section {
                    kind,
                    name,
                    line: 0,
                    options,
                }
            })
    }

    fn without_lines(mut sections: Vec<Section>) -> Vec<Section> {
        for section in &mut sections {
            section.line = 0;
            let values = section.options.iter_mut().flat_map(|e| &mut e.values);
            values.for_each(|v| v.line = 0);
        }
        sections
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read_back(mut sections in prop::collection::vec(section(), 0..6)) {
            let mut seen = std::collections::HashSet::new();
            sections.retain(|s| s.name.is_none() || seen.insert((s.kind.clone(), s.name.clone())));

            prop_assert_eq!(without_lines(parse(&write(&sections)).unwrap()), sections);
        }

        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            let _ = parse(&text);
        }

        #[test]
        fn nothing_near_the_grammar_makes_it_panic(text in "(config|option|list|package|['\"\\\\# \t\n;a_]){0,60}") {
            if let Err(error) = parse(&text) {
                prop_assert!(error.line as usize <= text.lines().count() + 1);
            }
        }
    }
}
