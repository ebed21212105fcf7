//! Where a client goes on: `<logId>:<position>`, or a bare position.

use domain::{LogId, Position};

use crate::failure::{Code, Failure};

/// The longest that such a text may be.
const TEXT_BYTES_MAX: usize = 80;

/// A place in a log, as a client remembers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Resume {
    /// The log; none where the client gave a bare position.
    log: Option<LogId>,
    position: Position,
}

impl Resume {
    /// Reads one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let (log, position) = match text.split_once(':') {
            Some((log, position)) => (Some(log.parse().ok()?), position),
            None => (None, text),
        };
        let digits = !position.is_empty() && position.bytes().all(|b| b.is_ascii_digit());
        let position = digits.then(|| position.parse().ok()).flatten()?;
        Some(Self { log, position })
    }

    /// The position in this log.
    ///
    /// # Errors
    /// When it is one of another log, or the log does not go that far: going on from there would leave something out.
    pub(crate) fn within(self, log: LogId, head: Position) -> Result<Position, Failure> {
        if self.log.is_some_and(|own| own != log) {
            let message = "this is another log than the one that was followed before; begin anew, with `after=0` for all";
            return Err(Failure::new(Code::LogChanged, message));
        }
        if self.position > head {
            let message =
                format!("the log ends at position {head}: it was restored from a backup, or is another one");
            return Err(Failure::new(Code::BeyondHead, message));
        }
        Ok(self.position)
    }
}

/// The text by which a client goes on after a position.
pub(crate) fn token(log: LogId, position: Position) -> String {
    format!("{log}:{position}")
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const LOG: LogId = LogId::new(Uuid::from_u128(7));

    #[test]
    fn a_place_is_a_log_and_a_position_or_a_position_alone() {
        let at = |log, position| {
            Some(Resume {
                log,
                position: Position::new(position),
            })
        };
        assert_eq!(Resume::parse(&token(LOG, Position::new(42))), at(Some(LOG), 42));
        assert_eq!(Resume::parse("42"), at(None, 42));
        assert_eq!(Resume::parse(" 0 "), at(None, 0));
        for bad in [
            "",
            ":",
            "x",
            "-1",
            "+1",
            "1.5",
            "7:1",
            "18446744073709551616",
            &format!("{LOG}:"),
            &format!("{LOG}:1:2"),
            &"1".repeat(100),
        ] {
            assert_eq!(Resume::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn nobody_goes_on_in_another_log_or_beyond_its_end() {
        let within = |text: &str, head| {
            let within = Resume::parse(text).unwrap().within(LOG, Position::new(head));
            within.map(Position::get).map_err(|failure| failure.code)
        };
        assert_eq!(within("3", 3), Ok(3));
        assert_eq!(within("4", 3), Err(Code::BeyondHead));
        let own = token(LOG, Position::new(2));
        assert_eq!(within(&own, 3), Ok(2));
        let foreign = token(LogId::new(Uuid::from_u128(8)), Position::new(2));
        assert_eq!(within(&foreign, 3), Err(Code::LogChanged));
    }
}
