//! A retry of what was given up for one cause leaves what was given up for another alone.

use domain::testing::attempted;
use domain::{AttemptResult, Cause, DeliveryCommand, ErrorCode, Failure, RetryDead};

use super::*;

/// A retry of every dead letter.
pub(super) fn all_dead() -> RetryDead {
    RetryDead {
        tenant: TenantId::default(),
        destination: None,
        cause: Cause::default(),
        requested_by: "olga".to_owned(),
        reason: None,
    }
}

/// Gives a destination up for a reason.
async fn give_up(world: &World, stream: &StreamName, destination: &str, code: ErrorCode, message: &str) {
    decide_and_append(&*world.log, stream, |state| {
        let mut command = attempted(state, destination, Ending::GivenUp, NOON).unwrap();
        if let DeliveryCommand::RecordAttempt {
            result: AttemptResult::GivenUp(attempt),
            ..
        } = &mut command
        {
            attempt.failure = Some(Failure::new(code, message));
        }
        command
    })
    .await;
}

fn retry(destination: Option<&str>, code: Option<ErrorCode>, wording: Option<&str>) -> RetryDead {
    RetryDead {
        destination: destination.map(name),
        cause: Cause {
            code,
            wording: wording.map(str::to_owned),
        },
        ..all_dead()
    }
}

/// Asks for a retry and says which destinations of which deliveries it opened.
async fn opened(world: &World, process: &Process, order: RetryDead) -> Vec<(String, Vec<String>)> {
    let Some(state) = process.handle.retry_dead(order).await.unwrap() else {
        return Vec::new();
    };
    let replay = state.requested.replay;
    let ended = process.ended(replay).await;
    assert_eq!(
        state.requested.expected,
        Some(ended.counts.requested),
        "counted before"
    );
    let asked = world.asked(replay).await;
    asked
        .into_iter()
        .map(|(stream, names)| (stream.id().to_owned(), names))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_retry_by_cause_opens_only_what_was_given_up_for_it() {
    let world = World::new();
    let both = |n| TestDelivery {
        due: vec!["ci", "cd"],
        ..push(n)
    };
    let first = world.deliver(&both(0)).await;
    give_up(
        &world,
        &first,
        "ci",
        ErrorCode::TimeoutError,
        "no answer within 15000 ms",
    )
    .await;
    give_up(&world, &first, "cd", ErrorCode::ValidationError, "answered 422").await;
    let second = world.deliver(&both(1)).await;
    give_up(&world, &second, "ci", ErrorCode::ValidationError, "answered 400").await;
    give_up(
        &world,
        &second,
        "cd",
        ErrorCode::TimeoutError,
        "no answer within 20000 ms",
    )
    .await;

    let process = world.started();
    let nothing = opened(&world, &process, retry(None, Some(ErrorCode::NetworkError), None)).await;
    assert_eq!(nothing, []);
    let nothing = opened(&world, &process, retry(Some("ci"), None, Some("answered 422"))).await;
    assert_eq!(nothing, [], "it was given up elsewhere for that");

    let worded = opened(
        &world,
        &process,
        retry(None, Some(ErrorCode::ValidationError), Some("answered 400")),
    )
    .await;
    assert_eq!(worded, [(second.id().to_owned(), vec!["ci".to_owned()])]);

    let timeouts = opened(
        &world,
        &process,
        retry(None, Some(ErrorCode::TimeoutError), Some("no answer within … ms")),
    )
    .await;
    assert_eq!(
        timeouts,
        [
            (first.id().to_owned(), vec!["ci".to_owned()]),
            (second.id().to_owned(), vec!["cd".to_owned()])
        ],
        "each where it timed out, and nowhere else"
    );
    let left = opened(&world, &process, all_dead()).await;
    assert_eq!(left, [(first.id().to_owned(), vec!["cd".to_owned()])]);
}

#[tokio::test(start_paused = true)]
async fn only_what_was_given_up_can_be_chosen_by_its_error() {
    let world = World::new();
    world.deliver_many(1).await;
    let mut order = everything();
    order.filter.error_code = Some(ErrorCode::TimeoutError);
    let error = world.process().handle.start(order).await.unwrap_err();
    assert!(error.to_string().contains("given up"), "{error}");
}
