//! Lua's pattern matching (Lua 5.4 reference manual, section 6.4.1) with a count of steps.
//!
//! Lua's own matcher backtracks inside one C call, where no instruction hook can fire: a pattern of
//! nine bytes holds the thread for minutes. This one gives the same answers and the same errors,
//! and stops when its steps are spent. Arguments, captures as Lua values and replacement are left to
//! `script/sandbox/strings.rs`.

use std::ops::Range;

/// Most captures in one pattern (`LUA_MAXCAPTURES`).
pub const MAX_CAPTURES: usize = 32;
/// How deep items of one pattern may nest in each other (`MAXCCALLS` of Lua's matcher).
const MAX_DEPTH: u32 = 200;
/// Bytes compared or scanned in a row that count as one step.
const BYTES_PER_STEP: usize = 8;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// The pattern ends with `%`.
    #[error("malformed pattern (ends with '%')")]
    EndsWithEscape,
    /// A set is not closed.
    #[error("malformed pattern (missing ']')")]
    UnclosedSet,
    /// `%b` without its two bytes.
    #[error("malformed pattern (missing arguments to '%b')")]
    BalanceArguments,
    /// `%f` without a set.
    #[error("missing '[' after '%f' in pattern")]
    FrontierSet,
    /// More than [`MAX_CAPTURES`].
    #[error("too many captures")]
    TooManyCaptures,
    /// A `)` that closes nothing.
    #[error("invalid pattern capture")]
    NothingToClose,
    /// A back-reference (or `%1` in a replacement) to what is not captured; counts from 1.
    #[error("invalid capture index %{0}")]
    CaptureIndex(u8),
    /// A `(` that is never closed.
    #[error("unfinished capture")]
    UnfinishedCapture,
    /// Items nested deeper than Lua allows.
    #[error("pattern too complex")]
    TooComplex,
    /// The steps are spent; the only variant Lua itself does not have.
    #[error("pattern takes too many steps")]
    OutOfSteps,
}

/// One capture of a match, offsets from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capture {
    /// The bytes from the first up to the second.
    Bytes(usize, usize),
    /// `()`: a place in the subject.
    Position(usize),
    /// Opened at this place and not closed (yet).
    Open(usize),
}

type Captures = heapless::Vec<Capture, MAX_CAPTURES>;

/// Where a pattern matched, offsets from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// The whole match.
    pub range: Range<usize>,
    captures: Captures,
}

impl Match {
    /// How many captures the pattern has.
    pub fn captures(&self) -> usize {
        self.captures.len()
    }

    /// Capture `index` (from 0); number 0 is the whole match where the pattern captures nothing.
    ///
    /// An unclosed capture is an error only here: Lua lets it pass as long as nobody asks for it.
    pub fn capture(&self, index: usize) -> Result<Capture, PatternError> {
        match self.captures.get(index) {
            Some(Capture::Open(_)) => Err(PatternError::UnfinishedCapture),
            Some(capture) => Ok(*capture),
            None if index == 0 => Ok(Capture::Bytes(self.range.start, self.range.end)),
            None => Err(PatternError::CaptureIndex(
                u8::try_from(index + 1).unwrap_or(u8::MAX),
            )),
        }
    }
}

/// Whether `pattern` holds no special byte, so that it matches only itself.
pub fn is_plain(pattern: &[u8]) -> bool {
    !pattern.iter().any(|byte| b"^$*+?.([%-".contains(byte))
}

/// First place at or after `from` where `pattern` matches.
///
/// `from` is at most the length of `subject`. A match that ends at `not_ending_at` does not count,
/// which is how `gmatch` and `gsub` get past an empty match. `anchored` tries `from` only; the `^` itself
/// must have been taken off. Takes at least one step from `steps` a place tried.
pub fn find(
    subject: &[u8],
    pattern: &[u8],
    from: usize,
    anchored: bool,
    not_ending_at: Option<usize>,
    steps: &mut u64,
) -> Result<Option<Match>, PatternError> {
    let mut matcher = Matcher {
        subject,
        pattern,
        steps,
        depth: 0,
        captures: Captures::new(),
    };
    let last = if anchored { from } else { subject.len() };
    for start in from..=last {
        matcher.captures.clear();
        if let Some(end) = matcher.run(start, 0)?
            && Some(end) != not_ending_at
        {
            return Ok(Some(Match {
                range: start..end,
                captures: matcher.captures,
            }));
        }
    }
    Ok(None)
}

/// First place at or after `from` where the bytes of `needle` are, counted like a match.
pub fn find_plain(
    subject: &[u8],
    needle: &[u8],
    from: usize,
    steps: &mut u64,
) -> Result<Option<usize>, PatternError> {
    let Some(last) = subject.len().checked_sub(needle.len()) else {
        return Ok(None);
    };
    for start in from..=last {
        let same = needle
            .iter()
            .zip(&subject[start..])
            .take_while(|(a, b)| a == b)
            .count();
        // A place that differs in its first byte costs an eighth, so a long text is cheap to scan.
        if same > 0 || start % BYTES_PER_STEP == 0 {
            spend(steps, 1 + same / BYTES_PER_STEP)?;
        }
        if same == needle.len() {
            return Ok(Some(start));
        }
    }
    Ok(None)
}

fn spend(steps: &mut u64, count: usize) -> Result<(), PatternError> {
    match steps.checked_sub(count as u64) {
        Some(left) => {
            *steps = left;
            Ok(())
        }
        None => {
            *steps = 0;
            Err(PatternError::OutOfSteps)
        }
    }
}

/// One match in progress. Subject places and pattern places are offsets; where Lua's strings end with
/// a zero byte that its matcher may look at, `pattern_at` and `frontier_byte` give that zero.
struct Matcher<'a> {
    subject: &'a [u8],
    pattern: &'a [u8],
    steps: &'a mut u64,
    depth: u32,
    captures: Captures,
}

type Found = Result<Option<usize>, PatternError>;

impl Matcher<'_> {
    fn pattern_at(&self, place: usize) -> u8 {
        self.pattern.get(place).copied().unwrap_or(0)
    }

    /// End of the match of the pattern from `item` on with the subject from `at` on.
    fn run(&mut self, at: usize, item: usize) -> Found {
        if self.depth == MAX_DEPTH {
            return Err(PatternError::TooComplex);
        }
        self.depth += 1;
        let end = self.items(at, item);
        self.depth -= 1;
        end
    }

    fn items(&mut self, mut at: usize, mut item: usize) -> Found {
        while item < self.pattern.len() {
            spend(self.steps, 1)?;
            match (self.pattern[item], self.pattern_at(item + 1)) {
                (b'(', b')') => {
                    return self.capture(Capture::Position(at), at, item + 2);
                }
                (b'(', _) => return self.capture(Capture::Open(at), at, item + 1),
                (b')', _) => return self.close(at, item + 1),
                (b'$', _) if item + 1 == self.pattern.len() => {
                    return Ok((at == self.subject.len()).then_some(at));
                }
                (b'%', b'b') => match self.balance(at, item + 2)? {
                    Some(end) => (at, item) = (end, item + 4),
                    None => return Ok(None),
                },
                (b'%', b'f') => match self.frontier(at, item + 2)? {
                    Some(next) => item = next,
                    None => return Ok(None),
                },
                (b'%', digit @ b'0'..=b'9') => match self.back_reference(at, digit)? {
                    Some(end) => (at, item) = (end, item + 2),
                    None => return Ok(None),
                },
                _ => {
                    let after = self.class_end(item)?;
                    let fits = self.fits(at, item, after)?;
                    match self.pattern_at(after) {
                        b'*' | b'-' | b'?' if !fits => item = after + 1,
                        _ if !fits => return Ok(None),
                        b'*' => return self.longest(at, item, after),
                        b'+' => return self.longest(at + 1, item, after),
                        b'-' => return self.shortest(at, item, after),
                        b'?' => match self.run(at + 1, after + 1)? {
                            Some(end) => return Ok(Some(end)),
                            None => item = after + 1,
                        },
                        _ => (at, item) = (at + 1, after),
                    }
                }
            }
        }
        Ok(Some(at))
    }

    fn capture(&mut self, capture: Capture, at: usize, rest: usize) -> Found {
        if self.captures.push(capture).is_err() {
            return Err(PatternError::TooManyCaptures);
        }
        let end = self.run(at, rest)?;
        if end.is_none() {
            self.captures.pop();
        }
        Ok(end)
    }

    fn close(&mut self, at: usize, rest: usize) -> Found {
        let innermost = self
            .captures
            .iter()
            .enumerate()
            .rev()
            .find_map(|(index, capture)| match capture {
                Capture::Open(start) => Some((index, *start)),
                _ => None,
            });
        let (index, start) = innermost.ok_or(PatternError::NothingToClose)?;
        self.captures[index] = Capture::Bytes(start, at);
        let end = self.run(at, rest)?;
        if end.is_none() {
            self.captures[index] = Capture::Open(start);
        }
        Ok(end)
    }

    /// As much as fits of the class `item..after`, then less and less of it.
    fn longest(&mut self, at: usize, item: usize, after: usize) -> Found {
        let mut count = 0;
        while self.fits(at + count, item, after)? {
            spend(self.steps, 1)?;
            count += 1;
        }
        loop {
            if let Some(end) = self.run(at + count, after + 1)? {
                return Ok(Some(end));
            }
            let Some(less) = count.checked_sub(1) else {
                return Ok(None);
            };
            spend(self.steps, 1)?;
            count = less;
        }
    }

    /// As little as possible of the class `item..after`, then more and more of it.
    fn shortest(&mut self, mut at: usize, item: usize, after: usize) -> Found {
        loop {
            if let Some(end) = self.run(at, after + 1)? {
                return Ok(Some(end));
            }
            spend(self.steps, 1)?;
            if !self.fits(at, item, after)? {
                return Ok(None);
            }
            at += 1;
        }
    }

    /// `%bxy`, its two bytes at `arguments`: the end of the balanced run that starts at `at`.
    fn balance(&mut self, at: usize, arguments: usize) -> Found {
        let &[opening, closing, ..] = self.pattern.get(arguments..).unwrap_or(&[]) else {
            return Err(PatternError::BalanceArguments);
        };
        if self.subject.get(at) != Some(&opening) {
            return Ok(None);
        }
        let mut nested = 1_u64;
        for (offset, &byte) in self.subject[at + 1..].iter().enumerate() {
            spend(self.steps, 1)?;
            if byte == closing {
                nested -= 1;
                if nested == 0 {
                    return Ok(Some(at + offset + 2));
                }
            } else if byte == opening {
                nested += 1;
            }
        }
        Ok(None)
    }

    /// `%f[set]`, its set at `set`: where the pattern goes on if `at` is a border of the set.
    fn frontier(&mut self, at: usize, set: usize) -> Found {
        if self.pattern_at(set) != b'[' {
            return Err(PatternError::FrontierSet);
        }
        let after = self.class_end(set)?;
        let before = at
            .checked_sub(1)
            .map_or(0, |previous| self.subject[previous]);
        let here = self.subject.get(at).copied().unwrap_or(0);
        let set = &self.pattern[set..after];
        Ok((!in_set(before, set) && in_set(here, set)).then_some(after))
    }

    fn back_reference(&mut self, at: usize, digit: u8) -> Found {
        let subject = self.subject;
        let index = usize::from(digit).checked_sub(usize::from(b'1'));
        let captured = match index.and_then(|index| self.captures.get(index)) {
            Some(Capture::Bytes(start, end)) => &subject[*start..*end],
            Some(Capture::Position(_)) => return Ok(None),
            Some(Capture::Open(_)) | None => return Err(PatternError::CaptureIndex(digit - b'0')),
        };
        spend(self.steps, captured.len() / BYTES_PER_STEP)?;
        Ok(subject[at..]
            .starts_with(captured)
            .then_some(at + captured.len()))
    }

    /// Where the single-byte class that starts at `item` ends.
    fn class_end(&mut self, item: usize) -> Result<usize, PatternError> {
        let mut place = item + 1;
        match self.pattern[item] {
            b'%' if place == self.pattern.len() => Err(PatternError::EndsWithEscape),
            b'%' => Ok(place + 1),
            b'[' => {
                if self.pattern_at(place) == b'^' {
                    place += 1;
                }
                loop {
                    let Some(&byte) = self.pattern.get(place) else {
                        return Err(PatternError::UnclosedSet);
                    };
                    place += 1;
                    if byte == b'%' && place < self.pattern.len() {
                        place += 1;
                    }
                    if self.pattern_at(place) == b']' {
                        break;
                    }
                }
                spend(self.steps, (place - item) / BYTES_PER_STEP)?;
                Ok(place + 1)
            }
            _ => Ok(place),
        }
    }

    /// Whether the byte at `at` is there and belongs to the class `item..after`.
    fn fits(&mut self, at: usize, item: usize, after: usize) -> Result<bool, PatternError> {
        let Some(&byte) = self.subject.get(at) else {
            return Ok(false);
        };
        Ok(match self.pattern[item] {
            b'.' => true,
            b'%' => in_class(byte, self.pattern[item + 1]),
            b'[' => {
                spend(self.steps, (after - item) / BYTES_PER_STEP)?;
                in_set(byte, &self.pattern[item..after])
            }
            literal => literal == byte,
        })
    }
}

/// Whether `byte` belongs to `set`, its brackets included.
fn in_set(byte: u8, set: &[u8]) -> bool {
    let inner = &set[1..set.len() - 1];
    let (inner, wanted) = match inner {
        [b'^', rest @ ..] => (rest, false),
        _ => (inner, true),
    };
    let mut rest = inner;
    loop {
        rest = match rest {
            [] => return !wanted,
            [b'%', class, tail @ ..] => {
                if in_class(byte, *class) {
                    return wanted;
                }
                tail
            }
            [low, b'-', high, tail @ ..] => {
                if (*low..=*high).contains(&byte) {
                    return wanted;
                }
                tail
            }
            [literal, tail @ ..] => {
                if *literal == byte {
                    return wanted;
                }
                tail
            }
        };
    }
}

/// Whether `byte` belongs to the class `%letter`; in the C locale, as Lua runs here.
fn in_class(byte: u8, letter: u8) -> bool {
    let member = match letter.to_ascii_lowercase() {
        b'a' => byte.is_ascii_alphabetic(),
        b'c' => byte.is_ascii_control(),
        b'd' => byte.is_ascii_digit(),
        b'g' => byte.is_ascii_graphic(),
        b'l' => byte.is_ascii_lowercase(),
        b'p' => byte.is_ascii_punctuation(),
        b's' => matches!(byte, b' ' | 9..=13),
        b'u' => byte.is_ascii_uppercase(),
        b'w' => byte.is_ascii_alphanumeric(),
        b'x' => byte.is_ascii_hexdigit(),
        b'z' => byte == 0, // of Lua 5.1, still understood
        _ => return letter == byte,
    };
    member != letter.is_ascii_uppercase()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What our matcher and Lua's say of the same question, in one form.
    type Answer = Result<Vec<Option<Vec<u8>>>, String>;

    fn ours(subject: &[u8], pattern: &[u8]) -> Answer {
        let mut steps = 1_000_000;
        if is_plain(pattern) {
            let found = find_plain(subject, pattern, 0, &mut steps).unwrap();
            let bounds = |at: usize| [at + 1, at + pattern.len()];
            return Ok(found.map_or(vec![None], |at| {
                bounds(at)
                    .map(|place| Some(place.to_string().into_bytes()))
                    .to_vec()
            }));
        }
        let (anchored, pattern) = match pattern {
            [b'^', rest @ ..] => (true, rest),
            _ => (false, pattern),
        };
        let found = find(subject, pattern, 0, anchored, None, &mut steps);
        let found = match found.map_err(|error| error.to_string())? {
            Some(found) => found,
            None => return Ok(vec![None]),
        };
        let place = |place: usize| Some(place.to_string().into_bytes());
        let mut answer = vec![place(found.range.start + 1), place(found.range.end)];
        for index in 0..found.captures() {
            answer.push(
                match found.capture(index).map_err(|error| error.to_string())? {
                    Capture::Bytes(start, end) => Some(subject[start..end].to_vec()),
                    Capture::Position(at) => place(at + 1),
                    Capture::Open(_) => unreachable!("an open capture is an error"),
                },
            );
        }
        Ok(answer)
    }

    fn luas(lua: &mlua::Lua, subject: &[u8], pattern: &[u8]) -> Answer {
        let find: mlua::Function = lua.load("string.find").eval().unwrap();
        let arguments = (
            lua.create_string(subject).unwrap(),
            lua.create_string(pattern).unwrap(),
        );
        match find.call::<mlua::MultiValue>(arguments) {
            Ok(values) => Ok(values
                .into_iter()
                .map(|value| {
                    lua.coerce_string(value)
                        .unwrap()
                        .map(|text| text.as_bytes().to_vec())
                })
                .collect()),
            Err(mlua::Error::RuntimeError(text)) => {
                Err(text.lines().next().unwrap_or_default().to_owned())
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// Patterns of real items, whole and broken ones, over a small alphabet.
    fn pattern() -> impl Strategy<Value = String> {
        let item = prop_oneof![
            8 => "[abc.]",
            2 => "%[acdglpsuwxzACDGLPSUWXZ%.b]",
            3 => r"\[\^?[ab%\-\]c]{1,4}\]",
            2 => "%[0-3]",
            2 => "%b[a(][b)]",
            2 => r"%f\[\^?[a%w]{1,2}\]",
            4 => "[()]",
            2 => r"\(\)",
            1 => "[$^%]",
            1 => r"\[[ab^]{0,2}",
            1 => "%[bf]",
        ];
        let piece = (item, prop_oneof![4 => "", 3 => "[*+?-]"]);
        (
            prop_oneof![4 => "", 1 => r"\^"],
            prop::collection::vec(piece, 0..8),
        )
            .prop_map(|(anchor, pieces)| {
                pieces
                    .into_iter()
                    .fold(anchor, |text, (item, count)| text + &item + &count)
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn answers_and_errors_are_those_of_lua(subject in r"[abc().A1 \-]{0,12}", pattern in pattern()) {
            let lua = mlua::Lua::new();

            let expected = luas(&lua, subject.as_bytes(), pattern.as_bytes());

            prop_assert_eq!(ours(subject.as_bytes(), pattern.as_bytes()), expected);
        }

        #[test]
        fn any_bytes_are_answered_as_lua_does(
            subject in prop::collection::vec(any::<u8>(), 0..16),
            pattern in prop::collection::vec(prop_oneof![Just(b'%'), Just(b'['), Just(b'-'), any::<u8>()], 0..8),
        ) {
            let lua = mlua::Lua::new();

            let expected = luas(&lua, &subject, &pattern);

            prop_assert_eq!(ours(&subject, &pattern), expected);
        }
    }

    #[test]
    fn every_class_holds_the_bytes_lua_says() {
        let lua = mlua::Lua::new();
        let every: Vec<u8> = (0..=255).collect();

        for letter in (b'a'..=b'z')
            .chain(b'A'..=b'Z')
            .filter(|l| !b"bf".contains(l))
        {
            for pattern in [vec![b'%', letter], vec![b'[', b'%', letter, b']']] {
                for at in 0..every.len() {
                    let byte = &every[at..=at];
                    assert_eq!(
                        ours(byte, &pattern),
                        luas(&lua, byte, &pattern),
                        "{pattern:?} {byte:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_pattern_that_would_run_for_minutes_stops_when_its_steps_are_spent() {
        let subject = b"a".repeat(253);
        let mut steps = 10_000;

        let answer = find(&subject, b".-.-.-.-b", 0, false, None, &mut steps);

        assert_eq!((answer, steps), (Err(PatternError::OutOfSteps), 0));
    }

    #[test]
    fn items_nested_too_deep_are_refused_where_lua_refuses_them() {
        let lua = mlua::Lua::new();

        for items in [150, 198, 199, 200, 201, 250] {
            let pattern = b"a?".repeat(items);
            let subject = b"a".repeat(items);
            assert_eq!(
                ours(&subject, &pattern),
                luas(&lua, &subject, &pattern),
                "{items} items"
            );
        }
    }

    #[test]
    fn a_plain_search_finds_what_is_there_and_counts_what_it_compares() {
        let subject = b"aaaaaaaaaaaaaaab";
        let mut enough = 1_000;
        let mut few = 5;

        assert_eq!(find_plain(subject, b"aab", 0, &mut enough), Ok(Some(13)));
        assert_eq!(find_plain(subject, b"", 16, &mut enough), Ok(Some(16)));
        assert_eq!(find_plain(subject, b"c", 0, &mut enough), Ok(None));
        assert_eq!(
            find_plain(subject, b"aab", 0, &mut few),
            Err(PatternError::OutOfSteps)
        );
    }
}
