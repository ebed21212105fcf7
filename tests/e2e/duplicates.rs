//! A delivery is in the log at most once, whoever sends it again and however many at once.

use tokio::task::JoinSet;

use crate::harness::{Launch, Server, Signed};

async fn log_positions(server: &Server) -> u64 {
    server.data_of("/api/webhooks/events?limit=1000").await["events"]
        .as_array()
        .map_or(0, |e| e.len() as u64)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_is_answered_with_the_first_position() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;
    let delivery = Signed::new(
        "push",
        "sent-twice",
        r#"{"ref":"refs/heads/main","repository":{"full_name":"a/b"}}"#,
    );
    let first = server.send(&delivery).await;
    let second = server.send(&delivery).await;
    assert_eq!((first.status, first.is_duplicate()), (200, false), "{first:?}");
    assert_eq!((second.status, second.is_duplicate()), (200, true), "{second:?}");
    assert_eq!(first.position(), second.position());
    // Another body under the same id is still the same delivery: the id decides, for ever.
    let other = Signed::new("push", "sent-twice", r#"{"other":true}"#);
    let third = server.send(&other).await;
    assert_eq!(
        (third.status, third.is_duplicate(), third.position()),
        (200, true, first.position())
    );
    // The same id through another hook is another delivery.
    let elsewhere = Signed {
        hook: "42".into(),
        ..delivery
    };
    let fourth = server.send(&elsewhere).await;
    assert_eq!((fourth.status, fourth.is_duplicate()), (200, false), "{fourth:?}");
    server.caught_up().await;
    assert_eq!(log_positions(&server).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_at_once_with_one_id_are_one_event() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;
    for round in 0..5 {
        let delivery = Signed::new(
            "issues",
            &format!("at-once-{round}"),
            format!(r#"{{"round":{round}}}"#),
        );
        let client = crate::harness::client();
        let mut senders = JoinSet::new();
        for _ in 0..64 {
            let (delivery, client, base) = (delivery.clone(), client.clone(), server.base());
            senders.spawn(async move { delivery.post(&client, &base).await.expect("an answer") });
        }
        let answers = senders.join_all().await;
        assert!(answers.iter().all(|a| a.status == 200), "{answers:?}");
        let repeats = answers.iter().filter(|a| a.is_duplicate()).count();
        assert_eq!(repeats, 63, "one of 64 is the first");
        let positions: std::collections::BTreeSet<u64> = answers.iter().map(|a| a.position()).collect();
        assert_eq!(positions.len(), 1, "all name one position: {positions:?}");
    }
    let launch = server.stop().await;
    let dump = crate::reconcile::dump(&launch);
    assert_eq!(dump.len(), 5, "five ids are five events");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_is_known_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;
    let delivery = Signed::new("push", "before-the-restart", r#"{"ref":"refs/heads/main"}"#);
    let first = server.send(&delivery).await;
    let server = server.kill().await.start().await;
    let again = server.send(&delivery).await;
    assert_eq!(
        (again.status, again.is_duplicate(), again.position()),
        (200, true, first.position())
    );
}
