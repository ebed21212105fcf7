//! `hooklog stats`: counts, rates and times of a window.

use std::process::ExitCode;

use serde_json::Value;
use serde_json::value::RawValue;

use super::client::ServerArgs;
use super::row;
use super::table::{self, cell, clean, field, moment};

/// The heights of a bar.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// How many bars fit beside each other.
const BARS_MAX: usize = 72;
/// How many event types are listed.
const EVENTS_MAX: usize = 15;

/// Of what to show statistics.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: hooklog stats --hours 168 --repository octo-org/hello")]
pub(super) struct Stats {
    #[command(flatten)]
    server: ServerArgs,
    /// The last so many hours.
    #[arg(long, default_value_t = 24)]
    hours: u32,
    /// Only of this repository, `owner/name`.
    #[arg(long)]
    repository: Option<String>,
    /// Only of this source.
    #[arg(long)]
    source: Option<String>,
}

impl Stats {
    #[allow(clippy::print_stdout, reason = "the output of the command")]
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let client = self.server.client()?;
        let mut query = vec![("hours", self.hours.to_string())];
        for (name, value) in [("repository", &self.repository), ("source", &self.source)] {
            query.extend(value.clone().map(|value| (name, value)));
        }
        if self.server.json {
            let data: Box<RawValue> = super::block_on(client.get_as("/webhooks/statistics", &query))?;
            println!("{data}");
        } else {
            print(&super::block_on(client.get("/webhooks/statistics", &query))?);
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[allow(clippy::print_stdout, reason = "the output of the command")]
fn print(data: &Value) {
    let (summary, window) = (field(data, "summary"), field(data, "timeWindow"));
    let of = |name: &str| cell(field(summary, name));
    println!(
        "{} to {} UTC",
        moment(field(window, "start")),
        moment(field(window, "end"))
    );
    println!();
    let failed = of("failedEvents");
    let style = if failed == "0" { row::GOOD } else { row::BAD };
    println!("deliveries    {}", of("totalEvents"));
    println!(
        "processed     {} ({} %)",
        of("processedEvents"),
        of("successRate")
    );
    println!("pending       {}", of("pendingEvents"));
    anstream::println!("failed        {style}{failed}{style:#}");
    println!("duplicates    {}", of("duplicates"));
    println!(
        "attempts      {}, {} of them retries",
        of("attempts"),
        of("retries")
    );
    let times = ["p50", "p95", "p99"].map(|p| (p, field(summary, &format!("{p}ProcessingTimeMs"))));
    if times.iter().any(|(_, time)| !time.is_null()) {
        let times = times.map(|(p, time)| format!("{p} {}", milliseconds(time)));
        println!("processing    {}", times.join(", "));
    }
    let series = field(data, "series").as_array().map_or(&[][..], Vec::as_slice);
    let totals: Vec<u64> = series
        .iter()
        .map(|point| field(point, "total").as_u64().unwrap_or(0))
        .collect();
    if let Some(most) = totals.iter().max().filter(|most| **most > 0) {
        println!();
        println!("{}", bars(&totals));
        println!("by {}, {most} at most", clean(&cell(field(data, "interval"))));
    }
    print_events(data);
}

#[allow(clippy::print_stdout, reason = "the output of the command")]
fn print_events(data: &Value) {
    let events = field(data, "byEvent").as_array().map_or(&[][..], Vec::as_slice);
    if events.is_empty() {
        return;
    }
    let names = ["event", "total", "processed", "pending", "failed"];
    let rows: Vec<Vec<String>> = events
        .iter()
        .take(EVENTS_MAX)
        .map(|event| names.map(|name| cell(field(event, name))).to_vec())
        .collect();
    println!();
    let columns = [
        ("EVENT", 34),
        ("TOTAL", 9),
        ("PROCESSED", 9),
        ("PENDING", 9),
        ("FAILED", 9),
    ];
    table::print(&columns, &rows);
    if events.len() > EVENTS_MAX {
        println!("and {} more; see --json", events.len() - EVENTS_MAX);
    }
}

/// A bar for each step; where there are too many, one for several together.
fn bars(totals: &[u64]) -> String {
    let step = totals.len().div_ceil(BARS_MAX).max(1);
    let sums: Vec<u64> = totals
        .chunks(step)
        .map(|steps| steps.iter().fold(0_u64, |sum, total| sum.saturating_add(*total)))
        .collect();
    let most = sums.iter().copied().max().unwrap_or(0).max(1);
    let bar = |sum: &u64| {
        let height = (u128::from(*sum) * (BARS.len() as u128 - 1)).div_ceil(u128::from(most));
        let height = usize::try_from(height).unwrap_or(0);
        if *sum == 0 {
            ' '
        } else {
            BARS.get(height).copied().unwrap_or('█')
        }
    };
    sums.iter().map(bar).collect()
}

fn milliseconds(value: &Value) -> String {
    match value.as_f64() {
        None => "unknown".to_owned(),
        Some(millis) if millis < 10.0 => format!("{millis:.1} ms"),
        Some(millis) if millis < 10_000.0 => format!("{millis:.0} ms"),
        Some(millis) => format!("{:.1} s", millis / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bars_are_as_high_as_what_they_stand_for_and_fit_a_line() {
        assert_eq!(bars(&[0, 1, 50, 100]), " ▂▅█");
        assert_eq!(bars(&[]), "");
        assert_eq!(bars(&vec![3; 1440]).chars().count(), BARS_MAX);
        assert!(bars(&[u64::MAX, 1]).starts_with('█'));
    }

    #[test]
    fn a_time_is_told_in_the_unit_that_suits_it() {
        let told = |value| milliseconds(&value);
        assert_eq!(told(json!(0.25)), "0.2 ms");
        assert_eq!(told(json!(123.4)), "123 ms");
        assert_eq!(told(json!(65_000)), "65.0 s");
        assert_eq!(told(json!(null)), "unknown");
    }
}
