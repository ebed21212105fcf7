//! The server is killed in the middle of its work, again and again. Whatever it answered with 200 is there, once.

use std::time::Duration;

use crate::harness::{Launch, Load, Signed, Tools, eventually, knob};
use crate::reconcile::{Sent, dump, reconcile, same_answers_as_the_fold};

const WRITERS: usize = 64;
/// More than the writers get through before the kill.
const PER_KILL: usize = 6_000;

/// When to kill: after so many more 200s. Spread, so that kills fall into start, catching up and full load.
fn until_kill(round: usize) -> usize {
    [40, 700, 2_300, 5, 1_500, 250, 3_100][round % 7]
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_under_load_it_keeps_every_acknowledged_delivery_exactly_once() {
    let kills = knob("HOOKLOG_KILLS", 3);
    let tools = Tools::ready();
    let deliveries = Signed::many(&tools, kills * PER_KILL, "crash");
    let by_id: std::collections::HashMap<String, Signed> = deliveries
        .iter()
        .map(|d| (d.delivery.clone(), d.clone()))
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let mut launch = Launch::in_folder(folder.path());
    let load = Load::of(deliveries);

    for round in 0..kills {
        let server = launch.start().await;
        let writers = load.start(&server.base(), WRITERS);
        load.acknowledged(load.acknowledged_now() + until_kill(round + 1))
            .await;
        launch = server.kill().await;
        writers.join_all().await;

        let acknowledged = load.report().positions;
        let recorded: std::collections::HashMap<String, Vec<u64>> = dump(&launch).into_iter().fold(
            Default::default(),
            |mut all: std::collections::HashMap<_, Vec<_>>, e| {
                all.entry(e.delivery_id()).or_default().push(e.position());
                all
            },
        );
        for (id, position) in &acknowledged {
            assert_eq!(
                recorded.get(id),
                Some(&vec![*position]),
                "round {round}: {id} was answered 200"
            );
        }
        eprintln!(
            "kill {}: {} acknowledged, {} in the log",
            round + 1,
            acknowledged.len(),
            recorded.len()
        );
    }

    // The senders that got no answer send again; then everything must agree.
    let server = launch.start().await;
    load.keep_first(200);
    load.start(&server.base(), WRITERS).join_all().await;
    let report = load.report();
    assert!(report.refused.is_empty(), "refused: {:?}", report.refused.first());
    server.caught_up().await;
    // A delivery whose 200 was lost with the server is in the log all the same.
    let sent: Vec<Sent> = eventually("the log can be read", Duration::from_secs(30), || async {
        Ok(dump(server.launch())
            .into_iter()
            .map(|e| Sent::new(by_id[&e.delivery_id()].clone(), e.position()))
            .collect())
    })
    .await;
    assert!(sent.len() >= report.positions.len());
    reconcile(&server, &tools, &sent);
    same_answers_as_the_fold(&server, &tools, &sent);
}
