//! Windows and steps of time: full minutes in, evenly spaced points out.

use domain::Timestamp;

use crate::failure::Failure;
use crate::shape::TimeWindow;

/// The longest window, in hours: ten years.
const HOURS_MAX: u32 = 10 * 366 * 24;
/// The most points of a series that a caller may ask for.
const POINTS_MAX: i64 = 2000;

/// The last so many hours, from a full minute to the end of the current one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Window {
    pub(crate) hours: u32,
    pub(crate) start_secs: i64,
    pub(crate) end_secs: i64,
}

impl Window {
    /// Of `hours`, else `days`, else a default number of hours.
    pub(crate) fn last(
        now: Timestamp,
        hours: Option<u32>,
        days: Option<u32>,
        default_hours: u32,
    ) -> Result<Self, Failure> {
        let asked = match (hours, days) {
            (Some(_), Some(_)) => {
                return Err(Failure::parameter("days", "give either `hours` or `days`"));
            }
            (Some(hours), None) => hours,
            (None, Some(days)) => days.saturating_mul(24),
            (None, None) => default_hours,
        };
        if asked > HOURS_MAX {
            let name = if days.is_some() { "days" } else { "hours" };
            return Err(Failure::parameter(name, "at most ten years are expected"));
        }
        let minute = now.as_secs().div_euclid(60) * 60;
        Ok(Self {
            hours: asked,
            start_secs: minute - i64::from(asked) * 3600,
            end_secs: minute + 60,
        })
    }

    /// As the API shows it.
    pub(crate) fn shape(self) -> TimeWindow {
        TimeWindow {
            hours: self.hours,
            start: of_secs(self.start_secs).to_string(),
            end: of_secs(self.end_secs).to_string(),
        }
    }

    /// A step that gives a chart a sensible number of points.
    pub(crate) const fn natural_step_secs(self) -> u32 {
        match self.hours {
            0..=6 => 60,
            7..=336 => 3600,
            337.. => 86_400,
        }
    }

    /// The step asked for, if the window has no more than [`POINTS_MAX`] of them.
    pub(crate) fn step_secs(self, asked: Option<u32>) -> Result<u32, Failure> {
        let step = asked.unwrap_or_else(|| self.natural_step_secs());
        if (self.end_secs - self.start_secs) / i64::from(step.max(1)) > POINTS_MAX {
            return Err(Failure::parameter(
                "interval",
                "the window has over 2000 steps of it; a longer one is expected",
            ));
        }
        Ok(step)
    }

    /// The starts of all steps that the window touches.
    pub(crate) fn steps(self, step_secs: u32) -> impl Iterator<Item = i64> {
        let step = i64::from(step_secs.max(1));
        let first = self.start_secs.div_euclid(step) * step;
        (first..self.end_secs).step_by(usize::try_from(step).unwrap_or(1))
    }
}

pub(crate) const fn of_secs(secs: i64) -> Timestamp {
    Timestamp::from_millis(secs.saturating_mul(1000))
}

/// The word for a step.
pub(crate) const fn interval_word(step_secs: u32) -> &'static str {
    match step_secs {
        0..=60 => "minute",
        61..=3600 => "hour",
        3601.. => "day",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-21T08:30:42Z".parse().unwrap()
    }

    fn last(hours: Option<u32>, days: Option<u32>) -> Result<Window, String> {
        Window::last(now(), hours, days, 24).map_err(|f| f.to_string())
    }

    #[test]
    fn a_window_is_of_full_minutes_and_holds_the_current_one() {
        let window = last(Some(2), None).unwrap().shape();
        assert_eq!(
            (window.hours, window.start.as_str(), window.end.as_str()),
            (2, "2026-11-21T06:30:00Z", "2026-11-21T08:31:00Z")
        );
        assert_eq!(last(None, Some(7)).unwrap().hours, 168);
        assert_eq!(last(None, None).unwrap().hours, 24);
    }

    #[test]
    fn a_window_is_given_once_and_bounded() {
        assert!(last(Some(1), Some(1)).unwrap_err().contains("either"));
        assert!(last(Some(u32::MAX), None).unwrap_err().contains("`hours`"));
        assert!(last(None, Some(u32::MAX)).unwrap_err().contains("`days`"));
    }

    #[test]
    fn steps_cover_the_window_without_a_hole() {
        let window = last(Some(24), None).unwrap();
        let steps: Vec<i64> = window.steps(3600).collect();
        assert_eq!(steps.len(), 25);
        assert!(steps[0] <= window.start_secs && steps[24] + 3600 >= window.end_secs);
        assert!(last(Some(24), None).unwrap().step_secs(Some(60)).is_ok());
        let long = last(None, Some(30)).unwrap();
        assert!(long.step_secs(Some(60)).is_err());
        assert_eq!(long.step_secs(None).unwrap(), 86_400);
    }
}
