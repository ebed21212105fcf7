//! The dashboard in a real browser, on real payloads: what is on each page, what can be done there, and that everybody can.
//!
//! The programs in `tests/dashboard` drive Chromium with playwright, and let axe look at the pages.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Behaviour, Launch, Receiver, SECRET, Server, Signed, Tools, eventually, knob};

const SOON: Duration = Duration::from_secs(60);
/// How many deliveries the destination refuses.
const REFUSED: usize = 12;
const REPOSITORY: &str = "Codertocat/Hello-World";
/// In the store while the pages are opened; `make drill` has a million.
const STORED: usize = 3000;
/// How many deliveries come while a page is watched.
const WATCHED: usize = 1500;
/// Of so many deliveries, one is for a repository whose deliveries are refused (`tests/tools/fill.mjs`).
const ONE_REFUSED_OF: usize = 100;

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
    let dead = given_up_for(&server, "answered 422").await;
    (server, dead)
}

/// A delivery that was given up with an error.
async fn given_up_for(server: &Server, error: &str) -> String {
    let causes = server.data_of("/api/webhooks/failed/causes").await;
    let causes = causes["causes"].as_array().expect("a list");
    let cause = causes.iter().find(|cause| {
        let words = cause["error"].as_str();
        words.is_some_and(|words| words.starts_with(error))
    });
    let cause = cause.unwrap_or_else(|| panic!("nothing was given up for {error:?}: {causes:?}"));
    let id = cause["newest"][0]["deliveryId"].as_str();
    id.expect("every cause shows deliveries").to_owned()
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
    // For two causes.
    let refusals = [422, 400].map(|status| std::iter::repeat_n(Behaviour::status(status), REFUSED / 2));
    receiver.then(refusals.into_iter().flatten());
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
    let key = |name: &str, scope: &str| {
        let made = server.launch().run(&["key", "create", name, "--scope", scope]);
        let key = String::from_utf8(made.stdout).unwrap();
        assert!(key.starts_with("hk_"), "{key}");
        key.trim().to_owned()
    };
    let facts = json!({
        "base": server.base(), "admin": key("somebody", "admin"), "reader": key("reader", "read"),
        "screenshots": screenshots(),
    });
    tools.node("../dashboard/login.mjs", &[&facts.to_string()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_key_is_not_lost_by_whoever_makes_it() {
    let tools = Tools::ready();
    let folder = tempfile::tempdir().unwrap();
    let server = Launch::in_folder(folder.path()).start().await;
    let facts = json!({"base": server.base()});
    tools.node("../dashboard/first-key.mjs", &[&facts.to_string()]);
}

/// A page that is open while very much comes, while it is paused, and while its server is started anew.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_page_keeps_up_and_loses_nothing() {
    let tools = Tools::ready();
    let folder = tempfile::tempdir().unwrap();
    let mut server = Launch::in_folder(folder.path()).start().await;
    let restart = folder.path().join("restart");
    let facts = json!({
        "base": server.base(), "secret": SECRET, "restart": restart, "watched": knob("HOOKLOG_WATCHED_DELIVERIES", WATCHED),
    });
    let program =
        tokio::task::spawn_blocking(move || tools.node("../dashboard/flood.mjs", &[&facts.to_string()]));
    while !program.is_finished() {
        if restart.exists() {
            server = server.stop().await.start().await;
            std::fs::remove_file(&restart).unwrap();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let said = program.await.unwrap();
    eprint!("{said}");
    assert!(said.contains("ok restart"), "{said}");
}

/// The first dead letter that the list shows, once there are so many.
async fn dead_letters(server: &Server, count: usize, deadline: Duration) -> String {
    eventually("what is refused becomes dead letters", deadline, || async {
        let causes = server.data_of("/api/webhooks/failed/causes").await;
        if causes["deadLetters"] != count {
            return Err(causes["deadLetters"].to_string());
        }
        let id = causes["causes"][0]["newest"][0]["deliveryId"].as_str();
        Ok(id.expect("every cause shows deliveries").to_owned())
    })
    .await
}

/// How soon is told, not asserted.
#[tokio::test(flavor = "multi_thread")]
async fn with_many_deliveries_in_the_store_every_page_is_shown() {
    let count = knob("HOOKLOG_STORE_DELIVERIES", STORED);
    let patience = Duration::from_secs(120) + Duration::from_millis(20) * u32::try_from(count).unwrap();
    let tools = Tools::ready();
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    receiver.then(std::iter::repeat_n(
        Behaviour::status(422),
        count.div_ceil(ONE_REFUSED_OF),
    ));
    let settings = format!(
        "[reactors]\naddresses_allowed = [\"127.0.0.0/8\"]\ncircuit_breaker = false\n\
         [[destination]]\nname = \"ci\"\nurl = \"{}\"\nrepositories = [\"octo-org/broken\"]\n",
        receiver.url()
    );
    let server = Launch::in_folder(folder.path()).settings(&settings).start().await;
    let fill = json!({"base": server.base(), "secret": SECRET, "count": count, "repositories": 500});
    eprint!("{}", tools.node("fill.mjs", &[&fill.to_string()]));
    let refused = (0..count).filter(|n| n % ONE_REFUSED_OF == 50).count();
    let dead = dead_letters(&server, refused, patience).await;
    let path = format!("/api/webhooks/replay/{dead}");
    server
        .post(&path, json!({"to": "subjects", "reason": "tried once more"}))
        .await;
    server.caught_up_within(patience).await;
    let facts = json!({"base": server.base(), "dead": dead, "repository": "octo-org/broken"});
    let said = tools.node("../dashboard/soon.mjs", &[&facts.to_string()]);
    eprintln!("with {count} deliveries in the store:\n{said}");
    assert!(
        said.contains("overview") && said.contains("projections"),
        "{said}"
    );
}
