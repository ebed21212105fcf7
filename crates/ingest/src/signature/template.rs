//! What a sender signs beside the body: a text with `{timestamp}`, `{id}` and `{body}` in it.

/// A piece of what is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Text(String),
    Timestamp,
    Id,
}

/// What stands before the body and what stands after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    before: Vec<Part>,
    after: Vec<Part>,
}

/// The longest template in bytes.
const BYTES_MAX: usize = 512;

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        const WRONG: &str = "holds a brace that begins none of {timestamp}, {id} and {body}";
        if text.len() > BYTES_MAX {
            return Err("is longer than 512 bytes");
        }
        let (before, after) = text
            .split_once("{body}")
            .ok_or("has to hold {body}: nothing else would prove it")?;
        if after.contains("{body}") {
            return Err("holds {body} twice");
        }
        let parts = |text: &str| {
            let (mut parts, mut rest) = (Vec::new(), text);
            while let Some((plain, tail)) = rest.split_once('{') {
                let (name, tail) = tail.split_once('}').ok_or(WRONG)?;
                parts.push(Part::Text(plain.to_owned()));
                parts.push(match name {
                    "timestamp" => Part::Timestamp,
                    "id" => Part::Id,
                    _ => return Err(WRONG),
                });
                rest = tail;
            }
            if rest.contains('}') {
                return Err(WRONG);
            }
            parts.push(Part::Text(rest.to_owned()));
            Ok(parts)
        };
        Ok(Self {
            before: parts(before)?,
            after: parts(after)?,
        })
    }

    /// Whether it holds a part.
    pub(super) fn has(&self, part: &Part) -> bool {
        self.before.contains(part) || self.after.contains(part)
    }

    /// The bytes before the body and after it.
    pub(super) fn around(&self, timestamp: &[u8], id: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let bytes = |parts: &[Part]| {
            let pieces = parts.iter().map(|part| match part {
                Part::Text(text) => text.as_bytes(),
                Part::Timestamp => timestamp,
                Part::Id => id,
            });
            pieces.collect::<Vec<_>>().concat()
        };
        (bytes(&self.before), bytes(&self.after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_parts_stand_around_the_body() {
        let around = |text: &str| Template::parse(text).unwrap().around(b"12", b"x");
        assert_eq!(around("{body}"), (vec![], vec![]));
        assert_eq!(around("v0:{timestamp}:{body}"), (b"v0:12:".to_vec(), vec![]));
        assert_eq!(
            around("{id}{timestamp} {body}\n{id}."),
            (b"x12 ".to_vec(), b"\nx.".to_vec())
        );
    }

    #[test]
    fn what_can_not_be_meant_is_refused() {
        for (text, why) in [
            ("", "{body}"),
            ("{timestamp}", "{body}"),
            ("{body}{body}", "twice"),
            ("{time}.{body}", "none of"),
            ("{{body}", "none of"),
            ("{body}}", "none of"),
            ("{body}{", "none of"),
        ] {
            let problem = Template::parse(text).unwrap_err();
            assert!(problem.contains(why), "{text}: {problem}");
        }
    }
}
