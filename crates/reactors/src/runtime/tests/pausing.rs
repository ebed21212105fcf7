//! Destinations that are held back, removed, or come back.

use std::sync::Arc;
use std::time::Duration;

use domain::{CommandError, DeliveryStatus, Destinations, TenantId};

use super::doubles::*;

#[tokio::test(start_paused = true)]
async fn pausing_takes_effect_at_once_and_is_a_fact_of_the_log() {
    let bench = Bench::new();
    let target = Arc::new(ScriptedTarget::default());
    let running = bench.run(vec![bench.plan("ci", &target)]);
    let why = Some("a freeze".to_owned());
    let paused = running
        .handle
        .pause(&TenantId::default(), &name("ci"), "someone".into(), why)
        .await
        .unwrap();
    let since = paused.paused.unwrap();
    assert_eq!(
        (since.by.as_str(), since.reason.as_deref()),
        ("someone", Some("a freeze"))
    );
    assert!(since.at.is_some());
    let again = running
        .handle
        .pause(&TenantId::default(), &name("ci"), "another".into(), None)
        .await
        .unwrap();
    assert_eq!(again.paused.unwrap().by, "someone", "it was so already");
    let stream = bench.deliver("a", &["ci"]).await;
    pass(Duration::from_secs(3600)).await;
    assert!(target.got().is_empty());
    assert_eq!(running.handle.list().await[0].open, 1);
    running
        .handle
        .resume(&TenantId::default(), &name("ci"), "someone".into())
        .await
        .unwrap();
    until("it is processed", async || {
        bench.state(&stream).await.status() == DeliveryStatus::Processed
    })
    .await;
    let destination = "destination-default.ci".parse().unwrap();
    assert_eq!(
        bench.types(&destination).await,
        ["DestinationPaused", "DestinationResumed"]
    );
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_pause_by_another_process_is_learned_from_the_log() {
    let bench = Bench::new();
    let target = Arc::new(ScriptedTarget::default());
    let here = bench.run(vec![bench.plan("ci", &target)]);
    let there = bench.run(vec![bench.plan("ci", &target)]);
    there
        .handle
        .pause(&TenantId::default(), &name("ci"), "someone".into(), None)
        .await
        .unwrap();
    until("it is known here", async || {
        here.handle.list().await[0].paused.is_some()
    })
    .await;
    here.handle
        .resume(&TenantId::default(), &name("ci"), "someone".into())
        .await
        .unwrap();
    until("it is known there", async || {
        there.handle.list().await[0].paused.is_none()
    })
    .await;
    here.stop().await;
    there.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_the_settings_pause_no_command_resumes() {
    let bench = Bench::new();
    let target = Arc::new(ScriptedTarget::default());
    let mut plan = bench.plan("ci", &target);
    plan.paused = true;
    let running = bench.run(vec![plan]);
    assert_eq!(
        running.handle.list().await[0].paused.clone().unwrap().by,
        "settings"
    );
    let refused = running
        .handle
        .resume(&TenantId::default(), &name("ci"), "someone".into())
        .await;
    assert!(matches!(refused, Err(CommandError::Refused(_))), "{refused:?}");
    let unknown = running
        .handle
        .pause(&TenantId::default(), &name("nobody"), "someone".into(), None)
        .await;
    assert!(matches!(unknown, Err(CommandError::NotFound(_))), "{unknown:?}");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_log_that_can_not_be_written_refuses_to_pause() {
    let bench = Bench::new();
    let running = bench.run(vec![bench.plan("ci", &Arc::default())]);
    bench.log.fail_appends(&[Fault::Unavailable]);
    let refused = running
        .handle
        .pause(&TenantId::default(), &name("ci"), "someone".into(), None)
        .await;
    assert!(
        matches!(refused, Err(CommandError::Unavailable(_))),
        "{refused:?}"
    );
    bench.log.fail_appends(&[Fault::WrittenUnknown]);
    running
        .handle
        .pause(&TenantId::default(), &name("ci"), "someone".into(), None)
        .await
        .unwrap();
    let destination = "destination-default.ci".parse().unwrap();
    assert_eq!(bench.types(&destination).await, ["DestinationPaused"]);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_work_of_a_removed_destination_waits_until_it_comes_back() {
    let bench = Bench::new();
    let (ci, cd) = (
        Arc::new(ScriptedTarget::default()),
        Arc::new(ScriptedTarget::default()),
    );
    ci.answers(|_| fails());
    let running = bench.run(vec![bench.plan("ci", &ci), bench.plan("cd", &cd)]);
    let before = bench.deliver("before", &["ci", "cd"]).await;
    until("it failed once", async || ci.got().len() == 1).await;
    running.stop().await;

    let running = bench.run(vec![bench.plan("cd", &cd)]);
    let mut between = bench.deliver("between", &["ci", "cd"]).await;
    for n in 0..20 {
        between = bench.deliver(&n.to_string(), &["ci", "cd"]).await;
    }
    until("it is counted", async || running.handle.list().await.len() == 2).await;
    until("the others went", async || cd.got().len() == 22).await;
    let status = running.handle.list().await.remove(1);
    assert_eq!(
        (status.name.as_str(), status.configured, status.open),
        ("ci", false, 22)
    );
    running.stop().await;

    let running = bench.run(vec![bench.plan("cd", &cd)]);
    pass(Duration::from_secs(10)).await;
    assert_eq!(
        running.handle.list().await[1].open,
        22,
        "it is still known after another start"
    );
    running.stop().await;

    ci.answers(|_| ok());
    let running = bench.run(vec![bench.plan("ci", &ci), bench.plan("cd", &cd)]);
    until("all of it went out", async || {
        bench.state(&before).await.status() == DeliveryStatus::Processed
            && bench.state(&between).await.status() == DeliveryStatus::Processed
    })
    .await;
    let numbers: Vec<u32> = ci.got().iter().skip(1).map(|got| got.number).collect();
    assert_eq!(numbers.len(), 22);
    assert_eq!(numbers.iter().filter(|number| **number == 2).count(), 1);
    assert_eq!(cd.got().len(), 22, "nothing was done again");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_moved_to_another_tenant_does_not_get_what_was_due_before() {
    let bench = Bench::new();
    let target = Arc::new(ScriptedTarget::default());
    bench.deliver("a", &["ci"]).await;
    let mut plan = bench.plan("ci", &target);
    plan.tenant = "other".parse().unwrap();
    let running = bench.run(vec![plan]);
    until("it is counted", async || running.handle.list().await.len() == 2).await;
    pass(Duration::from_secs(60)).await;
    assert!(target.got().is_empty());
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_destination_goes_out_through_is_waited_for_and_uses_up_no_attempt() {
    let bench = Bench::new();
    let (ci, cd) = (
        Arc::new(ScriptedTarget::default()),
        Arc::new(ScriptedTarget::default()),
    );
    let ready = tokio_util::sync::CancellationToken::new();
    let mut plan = bench.plan("ci", &ci);
    plan.ready = Some(ready.clone());
    let running = bench.run(vec![plan, bench.plan("cd", &cd)]);
    let stream = bench.deliver("a", &["ci", "cd"]).await;
    pass(Duration::from_secs(600)).await;
    assert_eq!((ci.got().len(), cd.got().len()), (0, 1));
    assert_eq!(running.handle.status().lag_ms, 0, "no replay waits for it");
    ready.cancel();
    until("it is processed", async || {
        bench.state(&stream).await.status() == DeliveryStatus::Processed
    })
    .await;
    assert_eq!(ci.got()[0].number, 1);
    running.stop().await;
}
