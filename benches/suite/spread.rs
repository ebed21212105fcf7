//! Figures of several runs: their median, and from where to where they went.

use std::fmt;

/// What several runs gave.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spread(Vec<f64>);

impl Spread {
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// Runs of ours divided by those of the ceiling, pair by pair.
    pub(crate) fn ratio(ours: &[f64], ceiling: &[f64]) -> Self {
        Self::of(ours.iter().zip(ceiling).map(|(ours, ceiling)| ours / ceiling))
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn median(&self) -> f64 {
        let middle = self.0.len() / 2;
        match self.0.len() {
            0 => f64::NAN,
            n if n % 2 == 1 => self.0[middle],
            _ => f64::midpoint(self.0[middle - 1], self.0[middle]),
        }
    }

    /// A percentile, 0 to 1.
    pub(crate) fn percentile(&self, share: f64) -> f64 {
        let at = (self.0.len().saturating_sub(1) as f64 * share).round() as usize;
        self.0.get(at).copied().unwrap_or(f64::NAN)
    }

    /// As a cell of a table.
    pub(crate) fn cell(&self, unit: &str) -> String {
        match self.0.as_slice() {
            [] => "not measured".to_owned(),
            [one] => format!("{}{unit}", Rounded(*one)),
            [least, .., most] => format!(
                "{}{unit} ({} – {})",
                Rounded(self.median()),
                Rounded(*least),
                Rounded(*most)
            ),
        }
    }
}

/// A number with three figures that count, or all before the point.
pub(crate) struct Rounded(pub(crate) f64);

impl fmt::Display for Rounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.0;
        match value.abs() {
            size if size >= 100.0 => write!(f, "{value:.0}"),
            size if size >= 10.0 => write!(f, "{value:.1}"),
            size if size >= 1.0 => write!(f, "{value:.2}"),
            size if size >= 0.001 || size == 0.0 => write!(f, "{value:.3}"),
            _ => write!(f, "{value:.5}"),
        }
    }
}
