//! The report in Markdown: the machine, one table of figures beside their goals, and a section of details for each part.

use std::fmt::Write as _;

use super::Bench;
use super::machine;
use super::spread::{Rounded, Spread};

/// What a figure has to be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// Only reported.
    None,
}

/// One line of the table.
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) ours: String,
    pub(crate) ceiling: String,
    /// What is held against the goal: a ratio, or the figure itself.
    pub(crate) value: Spread,
    pub(crate) unit: &'static str,
    pub(crate) goal: Goal,
}

impl Figure {
    /// Runs of ours beside those of their ceiling.
    pub(crate) fn beside(name: &str, unit: &'static str, ours: &[f64], ceiling: &[f64], goal: Goal) -> Self {
        Self {
            name: name.to_owned(),
            ours: Spread::of(ours.iter().copied()).cell(unit),
            ceiling: Spread::of(ceiling.iter().copied()).cell(unit),
            value: Spread::ratio(ours, ceiling),
            unit: "",
            goal,
        }
    }

    /// A figure without a ceiling.
    pub(crate) fn alone(name: &str, unit: &'static str, ours: &[f64], goal: Goal) -> Self {
        let value = Spread::of(ours.iter().copied());
        Self {
            name: name.to_owned(),
            ours: value.cell(unit),
            ceiling: "–".to_owned(),
            value,
            unit,
            goal,
        }
    }
}

/// The report in the making.
pub(crate) struct Report {
    head: String,
    figures: Vec<Figure>,
    sections: String,
    gaps: Vec<String>,
    took: Vec<(String, f64)>,
}

impl Report {
    pub(crate) fn begin(bench: &Bench) -> Self {
        let mut head = String::from("# Benchmarks\n\n");
        let mode = bench.mode.name;
        let _ = writeln!(
            head,
            "Written by `make {}` (mode `{mode}`); run it on your machine. Whatever is compared was measured in the same \
             run, in turns: ours, ceiling, ours, ceiling, …; a figure is the median, with the least and the most in \
             brackets, and a ratio is the median of the ratios of the pairs. Server, generator and engines share the \
             machine and talk over loopback. Figures in absolute units want a quiet machine.\n",
            match mode {
                "full" => "bench".to_owned(),
                other => format!("bench-{other}"),
            }
        );
        head.push_str(&machine::table());
        let _ = writeln!(
            head,
            "| payloads | {} |\n| a run | {} pairs; {} s of load, {} s of appends |\n",
            bench.payloads.in_words(),
            bench.mode.pairs,
            bench.mode.load.as_secs_f64(),
            bench.mode.append.as_secs_f64(),
        );
        Self {
            head,
            figures: Vec::new(),
            sections: String::new(),
            gaps: Vec::new(),
            took: Vec::new(),
        }
    }

    /// Adds a line to the table; said to whoever watches as well.
    pub(crate) fn figure(&mut self, figure: Figure) {
        eprintln!(
            "   {}: {} beside {}; {} (goal {})",
            figure.name,
            figure.ours,
            figure.ceiling,
            figure.value.cell(figure.unit),
            goal(&figure)
        );
        self.figures.push(figure);
    }

    /// A figure that could not be taken, and why.
    pub(crate) fn missing(&mut self, name: &str, why: &str) {
        eprintln!("   {name}: not measured ({why})");
        self.figures.push(Figure {
            name: name.to_owned(),
            ours: format!("not measured: {why}"),
            ceiling: "–".to_owned(),
            value: Spread::default(),
            unit: "",
            goal: Goal::None,
        });
    }

    /// Details of a part, in Markdown.
    pub(crate) fn section(&mut self, title: &str, text: &str) {
        let _ = write!(self.sections, "\n## {title}\n\n{}\n", text.trim_end());
    }

    /// What stands between a figure and its ceiling.
    pub(crate) fn gap(&mut self, text: String) {
        self.gaps.push(text);
    }

    pub(crate) fn took(&mut self, part: &str, seconds: f64) {
        self.took.push((part.to_owned(), seconds));
    }

    /// All of it.
    pub(crate) fn finish(self) -> String {
        let mut text = self.head;
        text.push_str("## Figures\n\n| figure | ours | ceiling | held against the goal | goal | met |\n|---|---|---|---|---|---|\n");
        for figure in &self.figures {
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} |",
                figure.name,
                figure.ours,
                figure.ceiling,
                figure.value.cell(figure.unit),
                goal(figure),
                met(figure)
            );
        }
        text.push_str(&self.sections);
        if !self.gaps.is_empty() {
            text.push_str("\n## What stands between us and the ceiling\n\n");
            for gap in &self.gaps {
                let _ = writeln!(text, "- {gap}");
            }
        }
        let took: Vec<String> = self
            .took
            .iter()
            .map(|(part, seconds)| format!("{part} {seconds:.0} s"))
            .collect();
        text.push_str(include_str!("by_hand.txt"));
        let _ = writeln!(text, "\nMeasuring took: {}.", took.join(", "));
        text
    }
}

fn goal(figure: &Figure) -> String {
    match figure.goal {
        Goal::AtLeast(bound) => format!("≥ {}{}", Rounded(bound), figure.unit),
        Goal::AtMost(bound) => format!("≤ {}{}", Rounded(bound), figure.unit),
        Goal::None => "–".to_owned(),
    }
}

fn met(figure: &Figure) -> &'static str {
    let value = figure.value.median();
    match figure.goal {
        _ if value.is_nan() => "–",
        Goal::AtLeast(bound) if value >= bound => "yes",
        Goal::AtMost(bound) if value <= bound => "yes",
        Goal::AtLeast(_) | Goal::AtMost(_) => "**no**",
        Goal::None => "–",
    }
}
