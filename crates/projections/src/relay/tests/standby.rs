//! Two relays, of which one has the lease.

use domain::testing::TestLeases;

use super::*;

const RELAY: LeaseName = LeaseName::new(SharedWork::Relay, 0);

#[tokio::test(start_paused = true)]
async fn a_standby_publishes_nothing_until_it_has_the_lease_and_then_goes_on() {
    let (log, stream) = (gapful_log(), FakeStream::new(1));
    let (first, second) = (TestLeases::new(), TestLeases::new());
    first.give(RELAY);
    second.take(RELAY);
    let active = start_leased(options(), &log, &stream, &first);
    let standby = start_leased(options(), &log, &stream, &second);
    append(log.as_ref(), 12).await;
    active.published_all(&log, &stream).await;
    let status = standby.handle.status();
    assert_eq!((status.state, status.lag_events), (RelayState::Standby, Some(0)));
    assert_eq!(status.active.unwrap().host, "elsewhere");
    active.stop().await;
    append(log.as_ref(), 3).await;
    let before = stream.live().len();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(stream.live().len(), before, "it has no lease");
    second.give(RELAY);
    standby.published_all(&log, &stream).await;
    check(&log, &stream, true).await;
    assert_eq!(standby.handle.status().active, None);
    standby.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_loses_its_lease_leaves_no_lag_in_its_gauges() {
    let gauges = Gauges::default();
    let _guard = metrics::set_default_local_recorder(&gauges);
    let (log, stream) = (dense_log(), FakeStream::new(1));
    let leases = TestLeases::new();
    leases.give(RELAY);
    let relay = start_leased(options(), &log, &stream, &leases);
    append(log.as_ref(), 2).await;
    relay.published_all(&log, &stream).await;
    stream.state().down = true;
    append(log.as_ref(), 3).await;
    until("the lag is told", async || {
        gauges.get("hooklog_relay_lag_events") == Some(3.0)
            && gauges.get("hooklog_relay_lag_seconds").is_some()
    })
    .await;
    leases.take(RELAY);
    until("it is another one's", async || {
        gauges.get("hooklog_relay_lag_events") == Some(0.0)
            && gauges.get("hooklog_relay_lag_seconds") == Some(0.0)
    })
    .await;
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_wakes_after_another_has_gone_on_changes_nothing() {
    for seed in 0..50 {
        let (log, stream) = (gapful_log(), FakeStream::new(seed));
        let (first, second) = (TestLeases::new(), TestLeases::new());
        first.give(RELAY);
        let sleeper = start_leased(options(), &log, &stream, &first);
        append(log.as_ref(), 8).await;
        // In the middle of its work it is not told that the other one has the lease now.
        tokio::time::sleep(Duration::from_millis(seed % 7)).await;
        second.give(RELAY);
        let other = start_leased(options(), &log, &stream, &second);
        append(log.as_ref(), 8).await;
        tokio::time::sleep(Duration::from_millis(seed % 11)).await;
        append(log.as_ref(), 8).await;
        first.take(RELAY);
        append(log.as_ref(), 1).await;
        other.published_all(&log, &stream).await;
        check(&log, &stream, true).await;
        assert_eq!(stream.live().len(), 25);
        until("it has heard of it", async || {
            sleeper.handle.status().state == RelayState::Standby
        })
        .await;
        sleeper.stop().await;
        other.stop().await;
    }
}
