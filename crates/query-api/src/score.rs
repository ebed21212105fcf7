//! The health score: 100 minus deductions, each named, each with the figures behind it. A pure function.
//!
//! | deduction | when | points |
//! |---|---|---|
//! | `failure-rate` | dead ÷ total of the last hour | 2 per percent begun, at most 40 |
//! | `lag` | the slowest of relay and projections | over 1 minute 10, over 10 minutes 20, over 1 hour 30 |
//! | `backlog` | the longest wait of a due delivery at a destination that could take it | over 1 minute 5, over 10 minutes 10, over 1 hour 20 |
//! | `queue` | appends waiting for the log | over half of the most 5, over nine tenths 15 |
//! | `dead-letters` | dead letters now | from 1 5, from 10 10, from 100 20 |
//! | `silence` | nothing in the last full hour, though every known day had something then | 20 |
//! | `rate` | the last full hour under half the least, or over twice the most, of the known days | 10 |
//! | `rejected` | refused ÷ all requests of the last minutes, from 10 requests | over a tenth 5, over a half 15 |
//! | `component` | each part that is down | 50 when deliveries depend on it, else 15 |
//! | `read-store` | the figures can't be read | 25 |
//!
//! Known days: the same hour of up to 14 past days, those since the first delivery; at least 3 are needed.

use crate::ports::{Component, ComponentState, Intake};
use crate::shape::health::DeductionShape;

/// Days whose same hour makes the band.
pub(crate) const BAND_DAYS: i64 = 14;
const BAND_DAYS_MIN: usize = 3;

/// Figures that only the read store knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    /// Deliveries of the last hour.
    pub(crate) hour_total: i64,
    /// Those of them that are dead.
    pub(crate) hour_failed: i64,
    /// Dead letters now.
    pub(crate) dead_now: i64,
    /// Deliveries of the last full hour.
    pub(crate) full_hour: i64,
    /// Deliveries of the same hour of past days, one number a day.
    pub(crate) same_hour: Vec<i64>,
}

/// The destination whose deliveries wait the longest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Backlog {
    /// Its name.
    pub(crate) destination: String,
    /// Age of its oldest due delivery, in milliseconds.
    pub(crate) lag_ms: u64,
    /// Its open deliveries.
    pub(crate) open: u64,
}

/// What the score is made from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts<'a> {
    /// `None` when the read store can't be asked.
    pub(crate) figures: Option<Figures>,
    /// The greatest lag of the relay and the projections, in milliseconds.
    pub(crate) lag_ms: u64,
    /// The slowest destination that could take deliveries.
    pub(crate) backlog: Option<Backlog>,
    /// Appends waiting.
    pub(crate) queue_len: usize,
    /// The most that may wait.
    pub(crate) queue_max: usize,
    /// What was received lately.
    pub(crate) intake: Option<Intake>,
    /// The parts of the service.
    pub(crate) components: &'a [Component],
}

/// The score and what was taken off.
pub(crate) fn score(facts: &Facts<'_>) -> (u32, Vec<DeductionShape>) {
    let mut deductions: Vec<DeductionShape> = Vec::new();
    match &facts.figures {
        Some(figures) => {
            deductions.extend(failure_rate(figures));
            deductions.extend(dead_letters(figures.dead_now));
            deductions.extend(band(figures));
        }
        None => deductions.push(deduction(
            "read-store",
            25,
            "the figures can't be read".to_owned(),
        )),
    }
    deductions.extend(lag(facts.lag_ms));
    deductions.extend(facts.backlog.as_ref().and_then(backlog));
    deductions.extend(queue(facts.queue_len, facts.queue_max));
    deductions.extend(facts.intake.and_then(rejected));
    deductions.extend(facts.components.iter().filter_map(component));
    let taken: u32 = deductions.iter().map(|d| d.points).sum();
    (100_u32.saturating_sub(taken), deductions)
}

/// The word for a score.
pub(crate) const fn status(score: u32) -> &'static str {
    match score {
        80.. => "healthy",
        50..=79 => "degraded",
        _ => "unhealthy",
    }
}

fn deduction(name: &str, points: u32, why: String) -> DeductionShape {
    DeductionShape {
        name: name.to_owned(),
        points,
        why,
    }
}

fn failure_rate(figures: &Figures) -> Option<DeductionShape> {
    let (failed, total) = (figures.hour_failed, figures.hour_total);
    if failed <= 0 || total <= 0 {
        return None;
    }
    let percent = u32::try_from((failed * 100 + total - 1) / total).unwrap_or(100);
    let why = format!("{failed} of {total} deliveries of the last hour failed");
    Some(deduction("failure-rate", percent.saturating_mul(2).min(40), why))
}

fn dead_letters(dead: i64) -> Option<DeductionShape> {
    let points = match dead {
        ..1 => return None,
        1..10 => 5,
        10..100 => 10,
        100.. => 20,
    };
    let why = format!("{dead} dead letters wait for an operator");
    Some(deduction("dead-letters", points, why))
}

fn band(figures: &Figures) -> Option<DeductionShape> {
    let days = figures.same_hour.len();
    if days < BAND_DAYS_MIN {
        return None;
    }
    let (least, most) = (figures.same_hour.iter().min()?, figures.same_hour.iter().max()?);
    let now = figures.full_hour;
    let usual = format!("{least} to {most} were usual in that hour of the last {days} days");
    if now == 0 && *least > 0 {
        return Some(deduction(
            "silence",
            20,
            format!("no delivery in the last full hour; {usual}"),
        ));
    }
    let outside = now.saturating_mul(2) < *least || (now > most.saturating_mul(2) && now >= 20);
    outside.then(|| {
        deduction(
            "rate",
            10,
            format!("{now} deliveries in the last full hour; {usual}"),
        )
    })
}

fn lag(lag_ms: u64) -> Option<DeductionShape> {
    let seconds = lag_ms / 1000;
    let points = match seconds {
        0..=60 => return None,
        61..=600 => 10,
        601..=3600 => 20,
        3601.. => 30,
    };
    Some(deduction(
        "lag",
        points,
        format!("the slowest follower of the log is {seconds} s behind"),
    ))
}

fn backlog(backlog: &Backlog) -> Option<DeductionShape> {
    let seconds = backlog.lag_ms / 1000;
    let points = match seconds {
        0..=60 => return None,
        61..=600 => 5,
        601..=3600 => 10,
        3601.. => 20,
    };
    let Backlog {
        destination, open, ..
    } = backlog;
    let why = format!("a delivery has been due at {destination} for {seconds} s; {open} are open there");
    Some(deduction("backlog", points, why))
}

fn queue(len: usize, max: usize) -> Option<DeductionShape> {
    if len == 0 || len.saturating_mul(2) <= max {
        return None;
    }
    let points = if len.saturating_mul(10) > max.saturating_mul(9) {
        15
    } else {
        5
    };
    Some(deduction(
        "queue",
        points,
        format!("{len} of at most {max} appends wait for the log"),
    ))
}

fn rejected(intake: Intake) -> Option<DeductionShape> {
    let all = intake.taken.saturating_add(intake.rejected);
    let points = match (all, intake.rejected.saturating_mul(10)) {
        (..10, _) => return None,
        (_, tenths) if tenths > all.saturating_mul(5) => 15,
        (_, tenths) if tenths > all => 5,
        _ => return None,
    };
    let why = format!(
        "{} of {all} requests of the last minutes were rejected",
        intake.rejected
    );
    Some(deduction("rejected", points, why))
}

fn component(component: &Component) -> Option<DeductionShape> {
    (component.state == ComponentState::Down).then(|| {
        let points = if component.required { 50 } else { 15 };
        deduction(
            "component",
            points,
            format!("{} is down: {}", component.name, component.message),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(facts: &Facts<'_>) -> (u32, Vec<(String, u32)>) {
        let (score, deductions) = score(facts);
        (
            score,
            deductions.into_iter().map(|d| (d.name, d.points)).collect(),
        )
    }

    fn of(figures: Figures) -> (u32, Vec<(String, u32)>) {
        names(&Facts {
            figures: Some(figures),
            ..Facts::default()
        })
    }

    fn only(name: &str, points: u32) -> (u32, Vec<(String, u32)>) {
        (100 - points, vec![(name.to_owned(), points)])
    }

    #[test]
    fn an_idle_service_without_history_is_healthy() {
        assert_eq!(of(Figures::default()), (100, vec![]));
    }

    #[test]
    fn failures_cost_two_points_per_percent_begun_and_forty_at_most() {
        let failed = |hour_failed, hour_total| {
            of(Figures {
                hour_failed,
                hour_total,
                ..Figures::default()
            })
        };
        assert_eq!(failed(1, 1000), only("failure-rate", 2));
        assert_eq!(failed(5, 100), only("failure-rate", 10));
        assert_eq!(failed(100, 100), only("failure-rate", 40));
    }

    #[test]
    fn dead_letters_cost_in_steps() {
        let dead = |dead_now| {
            of(Figures {
                dead_now,
                ..Figures::default()
            })
        };
        assert_eq!(dead(1), only("dead-letters", 5));
        assert_eq!(dead(10), only("dead-letters", 10));
        assert_eq!(dead(100), only("dead-letters", 20));
        assert_eq!(dead(-1), (100, vec![]));
    }

    #[test]
    fn the_hour_is_compared_with_the_same_hour_of_past_days() {
        let hour = |full_hour, same_hour: &[i64]| {
            of(Figures {
                full_hour,
                same_hour: same_hour.to_vec(),
                ..Figures::default()
            })
        };
        assert_eq!(hour(0, &[10, 12, 9]), only("silence", 20));
        assert_eq!(hour(4, &[10, 12, 9]), only("rate", 10));
        assert_eq!(hour(25, &[10, 12, 9]), only("rate", 10));
        for quiet in [
            hour(5, &[10, 12, 9]),
            hour(24, &[10, 12, 9]),
            hour(0, &[10, 0, 9]),
            hour(0, &[10, 12]),
        ] {
            assert_eq!(quiet, (100, vec![]));
        }
        assert_eq!(
            hour(3, &[0, 0, 1]),
            (100, vec![]),
            "a few deliveries are no burst"
        );
    }

    #[test]
    fn lag_and_queue_cost_in_steps() {
        let facts = |lag_secs: u64, queue_len| Facts {
            figures: Some(Figures::default()),
            lag_ms: lag_secs * 1000,
            queue_len,
            queue_max: 100,
            ..Facts::default()
        };
        assert_eq!(names(&facts(60, 50)), (100, vec![]));
        assert_eq!(names(&facts(61, 0)), only("lag", 10));
        assert_eq!(names(&facts(601, 0)), only("lag", 20));
        assert_eq!(names(&facts(3601, 0)), only("lag", 30));
        assert_eq!(names(&facts(0, 51)), only("queue", 5));
        assert_eq!(names(&facts(0, 91)), only("queue", 15));
    }

    #[test]
    fn a_backlog_costs_in_steps() {
        let waits = |secs: u64| {
            names(&Facts {
                figures: Some(Figures::default()),
                backlog: Some(Backlog {
                    destination: "ci".into(),
                    lag_ms: secs * 1000,
                    open: 3,
                }),
                ..Facts::default()
            })
        };
        assert_eq!(waits(60), (100, vec![]));
        assert_eq!(waits(61), only("backlog", 5));
        assert_eq!(waits(601), only("backlog", 10));
        assert_eq!(waits(3601), only("backlog", 20));
    }

    #[test]
    fn rejections_count_from_ten_requests() {
        let intake = |taken, rejected| {
            names(&Facts {
                figures: Some(Figures::default()),
                intake: Some(Intake { taken, rejected }),
                ..Facts::default()
            })
        };
        assert_eq!(intake(0, 9), (100, vec![]));
        assert_eq!(intake(90, 10), (100, vec![]));
        assert_eq!(intake(80, 20), only("rejected", 5));
        assert_eq!(intake(10, 90), only("rejected", 15));
    }

    #[test]
    fn what_is_down_costs_and_the_score_never_falls_below_zero() {
        let down = |name: &str, required| Component {
            name: name.into(),
            state: ComponentState::Down,
            required,
            message: "x".into(),
        };
        let components = [down("log", true), down("relay", true), down("clickhouse", false)];
        let (score, deductions) = names(&Facts {
            components: &components,
            ..Facts::default()
        });
        assert_eq!(score, 0);
        assert_eq!(
            deductions.iter().map(|d| d.1).collect::<Vec<_>>(),
            [25, 50, 50, 15]
        );
    }

    #[test]
    fn the_words_begin_at_eighty_and_fifty() {
        let words: Vec<_> = [100, 80, 79, 50, 49, 0].into_iter().map(status).collect();
        assert_eq!(
            words,
            [
                "healthy",
                "healthy",
                "degraded",
                "degraded",
                "unhealthy",
                "unhealthy"
            ]
        );
    }
}
