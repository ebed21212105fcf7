//! Finds where a time range begins in the log, without reading all of it.

use domain::{EventLog, PageLimit, Position, ReadError, Timestamp};

/// A delivery is recorded after it was received, but clocks are stepped: so much earlier is looked too, in milliseconds.
const SLACK_MS: i64 = 3_600_000;

const ONE: PageLimit = PageLimit { events: 1, bytes: 1 };

/// A position, at most `upto`, after which every delivery stands that was received at or after a time.
///
/// `recorded_at` never falls along the log, so it can be bisected; positions may have gaps. The end of a range can't be
/// found like this: imported deliveries are recorded long after they were received.
pub(super) async fn start_of(
    log: &dyn EventLog,
    received_from: Timestamp,
    upto: Position,
) -> Result<Position, ReadError> {
    let from = received_from.plus_millis(-SLACK_MS);
    // Everything up to and including `low` was recorded too early; what follows `high` is late enough.
    let (mut low, mut high) = (0, upto.get());
    while low < high {
        let middle = low + (high - low) / 2;
        let page = log.read_all(Position::new(middle), ONE).await?;
        match page.events.first().filter(|event| event.position <= upto) {
            Some(event) if event.recorded_at < from => low = event.position.get(),
            Some(_) | None => high = middle,
        }
    }
    Ok(Position::new(low))
}
