//! Waiting for a condition, with a deadline, instead of sleeping and hoping.

use std::future::Future;
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(20);

/// Asks until the answer is `Ok`. Past the deadline it fails the test and says what never happened, and why.
pub(crate) async fn eventually<T, F>(what: &str, deadline: Duration, mut probe: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, String>>,
{
    let begin = Instant::now();
    loop {
        let why = match probe().await {
            Ok(answer) => return answer,
            Err(why) => why,
        };
        assert!(
            begin.elapsed() < deadline,
            "it never happened within {deadline:?} that {what}: {why}"
        );
        tokio::time::sleep(POLL).await;
    }
}
