//! Where a fact stands in a document.

use std::sync::Arc;

/// The names that lead to a value from the root, outermost first. An element of a list is named by its index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Path {
    /// A path that a scheme knows.
    Known(&'static [&'static str]),
    /// A path of the settings.
    Configured(Arc<[String]>),
}

/// The most names of a path.
const PARTS_MAX: usize = 16;
/// The longest pointer in bytes.
const POINTER_BYTES_MAX: usize = 512;

impl Path {
    /// A path that a scheme knows.
    pub(crate) const fn of(parts: &'static [&'static str]) -> Self {
        Self::Known(parts)
    }

    /// Reads a JSON pointer (RFC 6901).
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub(crate) fn parse(pointer: &str) -> Result<Self, &'static str> {
        if pointer.len() > POINTER_BYTES_MAX {
            return Err("is longer than 512 bytes");
        }
        let rest = pointer
            .strip_prefix('/')
            .ok_or("is no JSON pointer, such as \"/event/type\"")?;
        let parts: Vec<String> = rest.split('/').map(unescaped).collect::<Result<_, _>>()?;
        if parts.len() > PARTS_MAX {
            return Err("leads deeper than 16 levels");
        }
        Ok(Self::Configured(parts.into()))
    }

    /// How many names it has.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Known(parts) => parts.len(),
            Self::Configured(parts) => parts.len(),
        }
    }

    /// One of its names.
    pub(super) fn part(&self, at: usize) -> Option<&str> {
        match self {
            Self::Known(parts) => parts.get(at).copied(),
            Self::Configured(parts) => parts.get(at).map(String::as_str),
        }
    }

    /// Its names.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).filter_map(|at| self.part(at))
    }

    /// Whether it may lead through a list.
    pub(super) fn has_index(&self) -> bool {
        let index = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        self.parts().any(index)
    }
}

fn unescaped(part: &str) -> Result<String, &'static str> {
    let mut pieces = part.split('~');
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (sign, rest) = match piece.as_bytes().first() {
            Some(b'0') => ('~', piece.get(1..)),
            Some(b'1') => ('/', piece.get(1..)),
            _ => return Err("has a ~ that is neither ~0 nor ~1"),
        };
        text.push(sign);
        text.push_str(rest.unwrap_or_default());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(pointer: &str) -> Vec<String> {
        let path = Path::parse(pointer).unwrap();
        (0..path.len())
            .map(|at| path.part(at).unwrap().to_owned())
            .collect()
    }

    #[test]
    fn a_pointer_is_read_as_its_rfc_says() {
        assert_eq!(parts("/type"), ["type"]);
        assert_eq!(parts("/a/0/b c"), ["a", "0", "b c"]);
        assert_eq!(parts("/a~1b/m~0n/~01"), ["a/b", "m~n", "~1"]);
        assert_eq!(parts("/"), [""]);
        assert!(Path::parse("/a/0/b").unwrap().has_index());
        assert!(!Path::parse("/a/0b/-").unwrap().has_index());
    }

    #[test]
    fn what_is_no_pointer_is_refused() {
        let deep = "/x".repeat(PARTS_MAX + 1);
        let long = format!("/{}", "x".repeat(POINTER_BYTES_MAX));
        for (pointer, why) in [
            ("", "no JSON pointer"),
            ("type", "no JSON pointer"),
            ("$.type", "no JSON pointer"),
            ("/a~2", "neither"),
            ("/a~", "neither"),
            (&deep, "16 levels"),
            (&long, "512 bytes"),
        ] {
            let problem = Path::parse(pointer).unwrap_err();
            assert!(problem.contains(why), "{pointer}: {problem}");
        }
    }
}
