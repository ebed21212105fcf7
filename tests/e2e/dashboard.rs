//! The dashboard in a real browser, on real payloads: what is on each page, what can be done there, and that everybody can.
//!
//! The programs in `tests/dashboard` drive Chromium with playwright, and let axe look at the pages.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Behaviour, Launch, Receiver, SECRET, Server, Signed, Tools};

const SOON: Duration = Duration::from_secs(60);
/// How many deliveries the destination refuses.
const REFUSED: usize = 12;
const REPOSITORY: &str = "Codertocat/Hello-World";

/// A server that has everything that a page can show: all example payloads, dead letters, a replay, rejected requests.
async fn filled(folder: &tempfile::TempDir, receiver: &Receiver, tools: &Tools) -> (Server, String) {
    let settings = format!(
        "[reactors]\naddresses_allowed = [\"127.0.0.0/8\"]\ncircuit_breaker = false\n\
         [[destination]]\nname = \"ci\"\nurl = \"{}\"\nevents = [\"issues\", \"push\"]\n",
        receiver.url()
    );
    let server = Launch::in_folder(folder.path()).settings(&settings).start().await;
    let examples = Signed::examples(tools);
    // The receiver refuses what comes first, so these are all refused.
    let (issues, others): (Vec<_>, Vec<_>) = examples.into_iter().partition(|d| d.event == "issues");
    assert!(issues.len() >= REFUSED, "only {} issues", issues.len());
    for delivery in issues.iter().take(REFUSED) {
        assert_eq!(server.send(delivery).await.status, 200);
    }
    for delivery in issues.iter().take(REFUSED) {
        server.delivery_becomes(&delivery.delivery, "dead", SOON).await;
    }
    for delivery in issues.iter().skip(REFUSED).chain(&others) {
        assert_eq!(server.send(delivery).await.status, 200);
    }
    let push = others
        .iter()
        .find(|d| d.event == "push")
        .expect("there are pushes");
    server.delivery_becomes(&push.delivery, "processed", SOON).await;
    let path = format!("/api/webhooks/replay/{}", push.delivery);
    server.post(&path, json!({"reason": "tried once more"})).await;
    let mut forged = Signed::new("ping", "forged", "{}");
    forged.signature = format!("sha256={}", "0".repeat(64));
    assert_eq!(server.send(&forged).await.status, 401);
    server.caught_up().await;
    (server, issues[0].delivery.clone())
}

/// Where to put pictures of the pages, for people to look at.
fn screenshots() -> Option<String> {
    #[allow(
        clippy::disallowed_methods,
        reason = "the knobs of the tests are no settings of the product"
    )]
    let folder = std::env::var("HOOKLOG_SCREENSHOTS").ok()?;
    std::fs::create_dir_all(&folder).expect("the folder for pictures can be made");
    Some(folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_works_in_a_browser_for_everybody() {
    let tools = Tools::ready();
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    receiver.then(std::iter::repeat_n(Behaviour::status(422), REFUSED));
    let (server, dead) = filled(&folder, &receiver, &tools).await;
    let facts = json!({
        "base": server.base(), "secret": SECRET, "dead": dead, "repository": REPOSITORY, "screenshots": screenshots(),
    });
    let said = tools.node("../dashboard/walk.mjs", &[&facts.to_string()]);
    eprint!("{said}");
    assert!(said.contains("ok live"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_logs_in_with_a_key_and_out_again() {
    let tools = Tools::ready();
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;
    let made = server
        .launch()
        .run(&["key", "create", "somebody", "--scope", "operate"]);
    let key = String::from_utf8(made.stdout).unwrap();
    assert!(key.starts_with("hk_"), "{key}");
    tools.node("../dashboard/login.mjs", &[&server.base(), key.trim()]);
}
