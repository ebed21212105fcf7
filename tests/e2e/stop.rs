//! Stopping: what was accepted is finished, what was not is refused, nothing is left behind.

use std::time::Duration;

use crate::harness::{Launch, Load, RawConnection, SECRET, Signed, Tools, eventually, openssl_signature};
use crate::reconcile::dump;

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_under_load_loses_no_acknowledged_delivery() {
    let tools = Tools::ready();
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;
    let load = Load::of(Signed::many(&tools, 20_000, "stop"));
    let writers = load.start(&server.base(), 32);
    load.acknowledged(500).await;
    let launch = server.stop().await;
    load.keep_first(0);
    writers.join_all().await;
    let report = load.report();
    assert!(
        report.refused.iter().all(|a| a.status == 503),
        "{:?}",
        report.refused.first()
    );
    let recorded: std::collections::HashMap<String, u64> = dump(&launch)
        .into_iter()
        .map(|e| (e.delivery_id(), e.position()))
        .collect();
    for (id, position) in &report.positions {
        assert_eq!(recorded.get(id), Some(position), "{id} was answered 200");
    }
}

/// A request whose body is still on its way when the stop comes is finished.
#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_under_way_is_finished_before_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Launch::in_folder(folder.path()).start().await;
    let body = r#"{"under":"way"}"#;
    let mut slow = RawConnection::to(&server).await;
    slow.write_head(&[
        "Content-Type: application/json".into(),
        "X-GitHub-Event: push".into(),
        "X-GitHub-Delivery: under-way".into(),
        format!(
            "X-Hub-Signature-256: {}",
            openssl_signature(SECRET, body.as_bytes())
        ),
        format!("Content-Length: {}", body.len()),
        "Connection: close".into(),
    ])
    .await;
    slow.write(&body[..4]).await;
    // The server has read the head once it answers another request sent after it.
    let seen = Signed::new("push", "before-the-stop", r#"{"n":1}"#);
    assert_eq!(server.send(&seen).await.status, 200);
    server.terminate();
    let late = Signed::new("push", "after-the-stop", r#"{"n":2}"#);
    eventually("new deliveries are refused", Duration::from_secs(5), || async {
        match late.post(&crate::harness::client(), &server.base()).await {
            Ok(answer) if answer.status == 503 => Ok(()),
            Ok(answer) => Err(answer.json.to_string()),
            Err(error) => Err(error.to_string()),
        }
    })
    .await;
    slow.write(&body[4..]).await;
    let answer = slow.answer().await.expect("an answer");
    assert_eq!(
        answer.status, 200,
        "what was accepted is finished: {}",
        answer.text
    );
    let code = server.ended("the server stops", Duration::from_secs(30)).await;
    assert_eq!(code, Some(0), "{}", server.printed());
    let ids: Vec<String> = dump(server.launch()).iter().map(|e| e.delivery_id()).collect();
    assert_eq!(
        ids.contains(&"under-way".to_owned()),
        answer.status == 200,
        "{ids:?}"
    );
}

/// Load balancers hear of a stop before anybody is turned away by it.
#[tokio::test(flavor = "multi_thread")]
async fn a_draining_server_says_that_it_is_not_ready_and_still_takes_deliveries() {
    let folder = tempfile::tempdir().unwrap();
    let launch = Launch::in_folder(folder.path()).env("HOOKLOG_SERVER__DRAIN_DELAY_MS", "600000");
    let mut server = launch.start().await;
    server.terminate();
    let ready = format!("{}/ready", server.base());
    eventually("it is not ready any more", Duration::from_secs(10), || async {
        let answer = crate::harness::client()
            .get(&ready)
            .send()
            .await
            .map_err(|e| e.to_string())?;
        match answer.status().as_u16() {
            503 => Ok(()),
            other => Err(other.to_string()),
        }
    })
    .await;
    for n in 0..20 {
        let delivery = Signed::new("push", &format!("while-draining-{n}"), format!(r#"{{"n":{n}}}"#));
        assert_eq!(server.send(&delivery).await.status, 200);
    }
    let answer = crate::harness::client().get(&ready).send().await.unwrap();
    let closes = answer
        .headers()
        .get("connection")
        .is_some_and(|value| value == "close");
    assert!(closes, "clients come back on another connection");
    // A second signal ends the wait.
    server.terminate();
    let code = server.ended("the server stops", Duration::from_secs(30)).await;
    assert_eq!(code, Some(0), "{}", server.printed());
    let ids: Vec<String> = dump(server.launch()).iter().map(|e| e.delivery_id()).collect();
    assert_eq!(
        ids.iter().filter(|id| id.starts_with("while-draining-")).count(),
        20
    );
}
