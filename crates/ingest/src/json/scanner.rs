//! The scanner: a state machine over bytes.

use super::NotJson;
use super::capture::Capture;
use super::nesting::Nesting;
use super::number::Number;
use super::path::Path;
use super::plain::plain_len;
use super::utf8::Utf8;

/// A value found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scalar {
    /// A string, its escapes resolved.
    Text(String),
    /// A number as it was written.
    Number(String),
}

/// What a document holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Whether its root is an object.
    pub(crate) object: bool,
    /// A value for each path asked for, in their order; none where it is absent, not a string or number, or too long. Of
    /// repeated members the last one counts.
    pub(crate) values: Vec<Option<Scalar>>,
}

#[derive(Debug, Clone, Copy)]
enum Role {
    Key,
    Value,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Value,
    FirstElement,
    FirstKey,
    Key,
    Colon,
    AfterValue,
    Text(Role),
    Escape(Role),
    Hex(Role, u8),
    Word(&'static [u8]),
    Number(Number),
}

/// Scans one document.
pub(crate) struct Scanner {
    paths: Vec<Path>,
    found: Found,
    state: State,
    nesting: Nesting,
    capture: Capture,
    utf8: Utf8,
    /// Of each path, how many of its names lead to where we are.
    matched: Vec<usize>,
    /// The most of them, and the most names of any path: nothing below is asked for.
    deepest: usize,
    longest: usize,
    /// The paths whose value comes next, one bit each.
    slots: u64,
    /// The elements begun of each list that is open, for paths that lead through one.
    elements: Option<Vec<u64>>,
}

const fn wrong<T>(why: &'static str) -> Result<T, NotJson> {
    Err(NotJson(why))
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

impl Scanner {
    /// The most paths that are looked for; no scheme comes near it.
    const PATHS_MAX: usize = 64;

    /// A scanner that looks for these.
    pub(crate) fn new(mut paths: Vec<Path>) -> Self {
        debug_assert!(paths.len() <= Self::PATHS_MAX, "{} paths", paths.len());
        paths.truncate(Self::PATHS_MAX);
        let values = vec![None; paths.len()];
        Self {
            matched: vec![0; paths.len()],
            deepest: 0,
            longest: paths.iter().map(Path::len).max().unwrap_or(0),
            slots: 0,
            elements: paths.iter().any(Path::has_index).then(Vec::new),
            paths,
            found: Found {
                object: false,
                values,
            },
            state: State::Value,
            nesting: Nesting::default(),
            capture: Capture::default(),
            utf8: Utf8::default(),
        }
    }

    /// Takes the next piece.
    pub(crate) fn feed(&mut self, piece: &[u8]) -> Result<(), NotJson> {
        self.utf8.check(piece)?;
        let mut rest = piece;
        while let Some((byte, tail)) = rest.split_first() {
            rest = match self.state {
                State::Text(role) => self.text(role, rest)?,
                State::Number(number) => self.number(number, rest)?,
                State::Escape(role) => {
                    self.escape(role, *byte)?;
                    tail
                }
                State::Hex(role, left) => {
                    self.hex(role, left, *byte)?;
                    tail
                }
                State::Value
                | State::FirstElement
                | State::FirstKey
                | State::Key
                | State::Colon
                | State::AfterValue
                | State::Word(_) => {
                    self.structure(*byte)?;
                    tail
                }
            };
        }
        Ok(())
    }

    /// The document is over.
    pub(crate) fn finish(mut self) -> Result<Found, NotJson> {
        if let State::Number(number) = self.state {
            self.end_number(number)?;
        }
        self.utf8.finish()?;
        if matches!(self.state, State::AfterValue) && self.nesting.depth() == 0 {
            Ok(self.found)
        } else {
            wrong("it ends too early")
        }
    }

    fn structure(&mut self, byte: u8) -> Result<(), NotJson> {
        if let State::Word(rest) = self.state {
            return self.word(rest, byte);
        }
        if is_space(byte) {
            return Ok(());
        }
        match (self.state, byte) {
            (State::FirstElement, b']') | (State::FirstKey, b'}') => self.close(),
            (State::Value | State::FirstElement, _) => return self.begin_value(byte),
            (State::FirstKey | State::Key, b'"') => self.begin_key(),
            (State::Colon, b':') => self.state = State::Value,
            (State::AfterValue, _) => return self.after_value(byte),
            _ => return wrong("a name or a colon is missing"),
        }
        Ok(())
    }

    fn begin_value(&mut self, byte: u8) -> Result<(), NotJson> {
        if self.elements.is_some() && self.nesting.in_object() == Some(false) {
            self.begin_element();
        }
        match byte {
            b'{' | b'[' => self.open(byte == b'{'),
            b'"' => self.begin_text(),
            b't' => self.state = State::Word(b"rue"),
            b'f' => self.state = State::Word(b"alse"),
            b'n' => self.state = State::Word(b"ull"),
            _ => {
                let Some(number) = Number::begin(byte) else {
                    return wrong("a value is missing");
                };
                self.capture.begin(self.slots != 0);
                self.capture.push(&[byte]);
                self.state = State::Number(number);
            }
        }
        Ok(())
    }

    fn begin_text(&mut self) {
        self.capture.begin(self.slots != 0);
        self.state = State::Text(Role::Value);
    }

    fn open(&mut self, object: bool) {
        self.found.object |= object && self.nesting.depth() == 0;
        self.nesting.push(object);
        self.slots = 0;
        if let (Some(elements), false) = (&mut self.elements, object)
            && self.nesting.depth() <= self.longest
        {
            elements.resize(self.longest, 0);
            if let Some(begun) = elements.get_mut(self.nesting.depth() - 1) {
                *begun = 0;
            }
        }
        self.state = if object {
            State::FirstKey
        } else {
            State::FirstElement
        };
    }

    fn close(&mut self) {
        self.nesting.pop();
        self.end_value();
    }

    fn end_value(&mut self) {
        self.slots = 0;
        self.state = State::AfterValue;
    }

    fn after_value(&mut self, byte: u8) -> Result<(), NotJson> {
        match (self.nesting.in_object(), byte) {
            (None, _) => return wrong("something follows its end"),
            (Some(true), b',') => self.state = State::Key,
            (Some(false), b',') => self.state = State::Value,
            (Some(true), b'}') | (Some(false), b']') => self.close(),
            (Some(_), _) => return wrong("a comma or an end is missing"),
        }
        Ok(())
    }

    fn word(&mut self, rest: &'static [u8], byte: u8) -> Result<(), NotJson> {
        match rest.split_first() {
            Some((expected, [])) if *expected == byte => self.end_value(),
            Some((expected, left)) if *expected == byte => self.state = State::Word(left),
            _ => return wrong("an unknown word"),
        }
        Ok(())
    }

    /// Reads a number up to its end, or the end of the piece; gives what follows.
    fn number<'p>(&mut self, mut number: Number, rest: &'p [u8]) -> Result<&'p [u8], NotJson> {
        for (n, byte) in rest.iter().enumerate() {
            let Some(next) = number.next(*byte) else {
                let (digits, after) = rest.split_at(n);
                self.capture.push(digits);
                self.end_number(number)?;
                return Ok(after);
            };
            number = next;
        }
        self.capture.push(rest);
        self.state = State::Number(number);
        Ok(&[])
    }

    fn end_number(&mut self, number: Number) -> Result<(), NotJson> {
        if !number.is_whole() {
            return wrong("a number is not finished");
        }
        let value = self.capture.plain().map(|n| Scalar::Number(n.to_owned()));
        self.keep(value);
        self.end_value();
        Ok(())
    }

    /// Reads a string up to its end, an escape, or the end of the piece; gives what follows.
    fn text<'p>(&mut self, role: Role, rest: &'p [u8]) -> Result<&'p [u8], NotJson> {
        let (plain, after) = rest.split_at(plain_len(rest));
        self.capture.push(plain);
        let Some((byte, tail)) = after.split_first() else {
            return Ok(after);
        };
        match byte {
            b'"' => {
                self.end_text(role);
                return Ok(self.next_text(role, tail));
            }
            b'\\' => {
                self.capture.push(b"\\");
                self.state = State::Escape(role);
            }
            _ => return wrong("a control character in a string"),
        }
        Ok(tail)
    }

    /// Begins the text that follows a text at once, as most do where nobody puts spaces: a value its name, the next name a value. Any
    /// other way goes on byte by byte.
    fn next_text<'p>(&mut self, role: Role, rest: &'p [u8]) -> &'p [u8] {
        match (role, rest) {
            (Role::Key, [b':', b'"', tail @ ..]) => {
                self.begin_text();
                tail
            }
            (Role::Value, [b',', b'"', tail @ ..]) if self.nesting.in_object() == Some(true) => {
                self.begin_key();
                tail
            }
            (Role::Key | Role::Value, _) => rest,
        }
    }

    fn escape(&mut self, role: Role, byte: u8) -> Result<(), NotJson> {
        self.state = match byte {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => State::Text(role),
            b'u' => State::Hex(role, 4),
            _ => return wrong("an unknown escape"),
        };
        self.capture.push(&[byte]);
        Ok(())
    }

    fn hex(&mut self, role: Role, left: u8, byte: u8) -> Result<(), NotJson> {
        if !byte.is_ascii_hexdigit() {
            return wrong("an escape without its four digits");
        }
        self.capture.push(&[byte]);
        self.state = if left > 1 {
            State::Hex(role, left - 1)
        } else {
            State::Text(role)
        };
        Ok(())
    }

    fn end_text(&mut self, role: Role) {
        match role {
            Role::Key => {
                self.end_key();
                self.state = State::Colon;
            }
            Role::Value => {
                if self.slots != 0 {
                    let value = self.capture.text().map(|text| Scalar::Text(text.into_owned()));
                    self.keep(value);
                }
                self.end_value();
            }
        }
    }

    fn keep(&mut self, value: Option<Scalar>) {
        for (slot, place) in self.found.values.iter_mut().enumerate() {
            if self.slots >> slot & 1 == 1 {
                place.clone_from(&value);
            }
        }
    }

    /// Whether a name at this depth can be one of a path that has led here.
    const fn leads(&self, depth: usize) -> bool {
        depth <= self.longest && depth <= self.deepest + 1
    }

    fn begin_key(&mut self) {
        self.capture.begin(self.leads(self.nesting.depth()));
        self.state = State::Text(Role::Key);
    }

    fn end_key(&mut self) {
        self.slots = 0;
        let depth = self.nesting.depth();
        if self.leads(depth) {
            // Names are many, and hardly one of them is kept: they are looked at where they are.
            let capture = std::mem::take(&mut self.capture);
            self.arrive(depth, capture.text().as_deref());
            self.capture = capture;
        }
    }

    /// An element of a list begins; its index is its name.
    fn begin_element(&mut self) {
        self.slots = 0;
        let depth = self.nesting.depth();
        if !self.leads(depth) {
            return;
        }
        let begun = self.elements.as_mut().and_then(|e| e.get_mut(depth - 1));
        if let Some(begun) = begun {
            let index = begun.to_string();
            *begun += 1;
            self.arrive(depth, Some(&index));
        }
    }

    /// Finds out which paths go on by this name, and whose value comes next. A member that stands again replaces what it
    /// said before.
    fn arrive(&mut self, depth: usize, name: Option<&str>) {
        self.deepest = 0;
        let paths = self.paths.iter().zip(&mut self.matched).enumerate();
        for (slot, (path, matched)) in paths {
            *matched = (*matched).min(depth - 1);
            if *matched + 1 == depth && name.is_some() && path.part(depth - 1) == name {
                *matched = depth;
                if let Some(place) = self.found.values.get_mut(slot) {
                    *place = None;
                }
                if path.len() == depth {
                    self.slots |= 1 << slot;
                }
            }
            self.deepest = self.deepest.max(*matched);
        }
    }
}
