//! Inputs close to those of a corpus: bits flipped, pieces cut, doubled, swapped, and what parsers stumble over put in between.

/// What is put in between.
const PIECES: [&[u8]; 24] = [
    b"\0",
    b"\n",
    b"\r\n",
    b"\n\n",
    b"\"",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"{",
    b"}",
    b"[[[[[[[[",
    b"null",
    b"-0",
    b"1e999",
    b"18446744073709551616",
    b"%",
    b"%00",
    b"%2E%2E/",
    b"\xc3\xbc",
    b"\xff",
    b"\xed\xa0\x80",
    b": ",
    b",",
    b"=",
];
const CHANGES_MAX: u64 = 4;

/// An endless, reproducible series of them.
pub(crate) struct Mutations<'c> {
    corpus: &'c [&'c [u8]],
    state: u64,
    next: usize,
}

impl<'c> Mutations<'c> {
    /// Of each input in turn.
    pub(crate) const fn of(corpus: &'c [&'c [u8]]) -> Self {
        Self {
            corpus,
            state: 0x5EED,
            next: 0,
        }
    }

    /// The next number (splitmix64).
    const fn roll(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.roll() % (end.max(1) as u64)).unwrap_or(0)
    }

    /// A part of an input, of any place and length.
    fn part(&mut self, input: &[u8]) -> std::ops::Range<usize> {
        let from = self.below(input.len() + 1);
        let len = self.below((input.len() - from).min(40) + 1);
        from..from + len
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.below(input.len() + 1);
        match self.below(7) {
            0 if at < input.len() => input[at] ^= 1 << self.below(8),
            1 if at < input.len() => input[at] = self.roll().to_le_bytes()[0],
            2 => {
                let part = self.part(input);
                input.drain(part);
            }
            3 => {
                let part = self.part(input);
                let copy = input[part].to_vec();
                input.splice(at..at, copy);
            }
            4 => {
                let other = self.corpus[self.below(self.corpus.len())];
                let part = self.part(other);
                input.splice(at..at, other[part].iter().copied());
            }
            5 => input.truncate(at),
            _ => {
                let piece = PIECES[self.below(PIECES.len())];
                input.splice(at..at, piece.iter().copied());
            }
        }
    }
}

impl Iterator for Mutations<'_> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let mut input = self.corpus.get(self.next)?.to_vec();
        self.next = (self.next + 1) % self.corpus.len();
        for _ in 0..=self.roll() % CHANGES_MAX {
            self.change(&mut input);
        }
        Some(input)
    }
}
