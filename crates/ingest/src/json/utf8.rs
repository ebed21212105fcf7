//! Checks that bytes arriving in pieces are UTF-8.

use super::NotJson;

const INVALID: NotJson = NotJson("it is not UTF-8");

/// A character cut by the end of a piece.
#[derive(Debug, Default)]
pub(super) struct Utf8 {
    cut: Vec<u8>,
}

impl Utf8 {
    /// Checks the next piece.
    pub(super) fn check(&mut self, piece: &[u8]) -> Result<(), NotJson> {
        let mut rest = piece;
        while !self.cut.is_empty() {
            let Some((byte, tail)) = rest.split_first() else {
                return Ok(());
            };
            self.cut.push(*byte);
            rest = tail;
            match std::str::from_utf8(&self.cut) {
                Ok(_) => self.cut.clear(),
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return Err(INVALID),
            }
        }
        match std::str::from_utf8(rest) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_none() => {
                self.cut
                    .extend_from_slice(rest.get(error.valid_up_to()..).unwrap_or_default());
                Ok(())
            }
            Err(_) => Err(INVALID),
        }
    }

    /// Checks that no character is left cut.
    pub(super) const fn finish(&self) -> Result<(), NotJson> {
        if self.cut.is_empty() { Ok(()) } else { Err(INVALID) }
    }
}
