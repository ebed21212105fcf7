//! What encloses the current place of a document, one bit a level.

/// The containers open here, outermost first.
#[derive(Debug, Default)]
pub(super) struct Nesting {
    depth: usize,
    objects: Vec<u64>,
}

const BITS: usize = 64;

impl Nesting {
    /// How many containers are open.
    pub(super) const fn depth(&self) -> usize {
        self.depth
    }

    /// Opens one.
    pub(super) fn push(&mut self, object: bool) {
        let (word, bit) = (self.depth / BITS, self.depth % BITS);
        if word == self.objects.len() {
            self.objects.push(0);
        }
        if let Some(bits) = self.objects.get_mut(word) {
            *bits = *bits & !(1 << bit) | u64::from(object) << bit;
        }
        self.depth += 1;
    }

    /// Closes the innermost.
    pub(super) const fn pop(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    /// Whether the innermost is an object; none outside of all.
    pub(super) fn in_object(&self) -> Option<bool> {
        let level = self.depth.checked_sub(1)?;
        let bits = self.objects.get(level / BITS)?;
        Some(bits >> (level % BITS) & 1 == 1)
    }
}
