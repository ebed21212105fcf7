//! One contract, in memory under a paused clock and on a real NATS server.

use std::sync::Arc;
use std::time::Duration;

use domain::{Holder, Lease, LeaseName, LeaseStanding, Leases, LogId, SharedWork};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::store::{Kept, LeaseStore, MemoryLeaseStore, StoreError};
use super::{LeaseKeeper, LeaseOptions};
use crate::jetstream::NatsLeases;
use crate::jetstream::tests::server::Server;

/// Nothing here takes longer, whatever the store.
const DEADLINE: Duration = Duration::from_secs(60);

struct Process {
    keeper: LeaseKeeper,
    reach: Arc<Sleepy>,
}

fn log() -> LogId {
    LogId::new(Uuid::from_u128(7))
}

fn process(store: &Arc<dyn LeaseStore>, instance: u128, options: &LeaseOptions) -> Process {
    process_on(log(), store, instance, options)
}

fn process_on(log: LogId, store: &Arc<dyn LeaseStore>, instance: u128, options: &LeaseOptions) -> Process {
    let holder = Holder {
        instance: Uuid::from_u128(instance),
        host: format!("host-{instance}"),
        roles: "relay".to_owned(),
    };
    let reach = Arc::new(Sleepy::over(Arc::clone(store)));
    let store = Arc::clone(&reach) as Arc<dyn LeaseStore>;
    Process {
        keeper: LeaseKeeper::new(store, log, holder, options.clone()),
        reach,
    }
}

impl Process {
    fn stand(&self, work: SharedWork, parts: u32) -> Vec<Box<dyn Lease>> {
        let names = (0..parts).map(|part| LeaseName::new(work, part));
        names.map(|name| self.keeper.stand_for(name)).collect()
    }

    fn held(&self) -> usize {
        let held = |(_, standing): &(LeaseName, LeaseStanding)| *standing == LeaseStanding::Held;
        self.keeper.standings().iter().filter(|one| held(one)).count()
    }

    /// It dies: nothing of it reaches the store any more, and its leases are not given back.
    fn kill(self) {
        self.reach.sleep(true);
    }
}

async fn gained(lease: &mut Box<dyn Lease>) {
    timeout(DEADLINE, lease.gained())
        .await
        .expect("it never gained the lease");
}

async fn lost(lease: &mut Box<dyn Lease>) {
    timeout(DEADLINE, lease.lost())
        .await
        .expect("it never lost the lease");
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What every store has to give.
async fn contract(store: Arc<dyn LeaseStore>, options: &LeaseOptions) {
    one_works_and_the_other_goes_on_once_it_has_died(&store, options).await;
    what_is_given_back_is_taken_at_once(&store, options).await;
    parts_spread_over_processes_and_come_together_again(&store, options).await;
    logs_do_not_meet(&store, options).await;
}

async fn one_works_and_the_other_goes_on_once_it_has_died(
    store: &Arc<dyn LeaseStore>,
    options: &LeaseOptions,
) {
    let (first, second) = (process(store, 1, options), process(store, 2, options));
    let mut active = first.stand(SharedWork::Relay, 1);
    gained(&mut active[0]).await;
    let mut standby = second.stand(SharedWork::Relay, 1);
    until(
        "the standby knows who works",
        || matches!(standby[0].standing(), LeaseStanding::Standby(Some(holder)) if holder.host == "host-1"),
    )
    .await;
    let onlooker = process(store, 8, options);
    let holders = onlooker.keeper.holders(SharedWork::Relay, 2).await.unwrap();
    let hosts: Vec<_> = holders
        .into_iter()
        .map(|(name, holder)| (name.part, holder.map(|holder| holder.host)))
        .collect();
    assert_eq!(hosts, [(0, Some("host-1".to_owned())), (1, None)]);
    // It is renewed for longer than it lasts.
    tokio::time::sleep(Duration::from_millis(options.ttl_ms * 3)).await;
    assert!(active[0].standing().works() && !standby[0].standing().works());
    let died = Instant::now();
    first.kill();
    gained(&mut standby[0]).await;
    assert!(
        died.elapsed() >= Duration::from_millis(options.ttl_ms / 2),
        "a lease lasts"
    );
    drop(standby);
    second.keeper.close().await;
}

async fn what_is_given_back_is_taken_at_once(store: &Arc<dyn LeaseStore>, options: &LeaseOptions) {
    // So long that only giving back can be the reason.
    let long = LeaseOptions {
        ttl_ms: options.ttl_ms.max(2000) * 10,
        ..options.clone()
    };
    let (first, second) = (process(store, 3, &long), process(store, 4, &long));
    let mut active = first.stand(SharedWork::Relay, 1);
    gained(&mut active[0]).await;
    let mut standby = second.stand(SharedWork::Relay, 1);
    until("it stands by", || second.keeper.standings().len() == 1).await;
    first.keeper.close().await;
    let waited = timeout(Duration::from_millis(long.ttl_ms / 2), standby[0].gained());
    waited.await.expect("it waited for the lease to run out");
    second.keeper.close().await;
}

async fn parts_spread_over_processes_and_come_together_again(
    store: &Arc<dyn LeaseStore>,
    options: &LeaseOptions,
) {
    let first = process(store, 5, options);
    let _first_stands = first.stand(SharedWork::Project, 4);
    until("one alone has all", || first.held() == 4).await;
    let (second, third) = (process(store, 6, options), process(store, 7, options));
    let _second_stands = second.stand(SharedWork::Project, 4);
    until("two have two each", || first.held() == 2 && second.held() == 2).await;
    let _third_stands = third.stand(SharedWork::Project, 4);
    // Nobody has two more than another one: there is nothing to ask for.
    tokio::time::sleep(Duration::from_millis(options.ttl_ms * 2)).await;
    assert_eq!((first.held() + second.held() + third.held()), 4);
    second.kill();
    until("what the dead one had is had by others", || {
        first.held() + third.held() == 4 && third.held() > 0
    })
    .await;
    third.keeper.close().await;
    until("one alone has all again", || first.held() == 4).await;
    first.keeper.close().await;
}

async fn logs_do_not_meet(store: &Arc<dyn LeaseStore>, options: &LeaseOptions) {
    let ours = process(store, 8, options);
    let others = process_on(LogId::new(Uuid::from_u128(8)), store, 9, options);
    for process in [&ours, &others] {
        let mut stands = process.stand(SharedWork::React, 1);
        gained(&mut stands[0]).await;
        std::mem::forget(stands);
    }
    ours.keeper.close().await;
    others.keeper.close().await;
}

#[tokio::test(start_paused = true)]
async fn leases_in_memory_keep_the_contract() {
    contract(Arc::new(MemoryLeaseStore::default()), &LeaseOptions::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_in_nats_keep_the_contract() {
    let server = Server::start();
    let leases = NatsLeases::new("TEST_LEASES");
    leases.set(server.connect().await);
    let options = LeaseOptions {
        ttl_ms: 1000,
        ..LeaseOptions::default()
    };
    contract(Arc::new(leases), &options).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_goes_on_while_nats_is_away_and_after_it_was_wiped() {
    let mut server = Server::start();
    let leases = Arc::new(NatsLeases::new("TEST_LEASES"));
    leases.set(server.connect().await);
    let store = Arc::clone(&leases) as Arc<dyn LeaseStore>;
    let options = LeaseOptions {
        ttl_ms: 500,
        unreachable_ms: 600_000,
        ..LeaseOptions::default()
    };
    let (first, second) = (process(&store, 1, &options), process(&store, 2, &options));
    let mut active = first.stand(SharedWork::Relay, 1);
    gained(&mut active[0]).await;
    let standby = second.stand(SharedWork::Relay, 1);
    server.kill();
    until("the loss is noticed", || !leases.is_connected()).await;
    tokio::time::sleep(Duration::from_millis(options.ttl_ms * 3)).await;
    assert!(active[0].standing().works() && !standby[0].standing().works());
    server.wipe();
    server.restart();
    let key = format!("{}.relay.0", log());
    let deadline = Instant::now() + DEADLINE;
    loop {
        let kept = store.read(&key).await.unwrap_or_default();
        if kept.value.is_some() {
            break;
        }
        assert!(Instant::now() < deadline, "the lease was never written anew");
    }
    tokio::time::sleep(Duration::from_millis(options.ttl_ms * 3)).await;
    let working = [&active, &standby].map(|stands| stands[0].standing().works());
    assert_eq!(working.iter().filter(|works| **works).count(), 1, "{working:?}");
    first.keeper.close().await;
    second.keeper.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_sleeps_beyond_its_lease_hears_of_it_when_it_wakes() {
    let store = Arc::new(MemoryLeaseStore::default()) as Arc<dyn LeaseStore>;
    let options = LeaseOptions::default();
    let (first, second) = (process(&store, 1, &options), process(&store, 2, &options));
    let mut active = first.stand(SharedWork::Relay, 1);
    gained(&mut active[0]).await;
    let mut standby = second.stand(SharedWork::Relay, 1);
    first.reach.sleep(true);
    let slept = Instant::now();
    gained(&mut standby[0]).await;
    let took = slept.elapsed();
    assert!(
        took < Duration::from_secs(7),
        "a standby starts after 5 s: {took:?}"
    );
    assert!(active[0].standing().works(), "nobody has told it");
    first.reach.sleep(false);
    lost(&mut active[0]).await;
    assert!(standby[0].standing().works());
}

#[tokio::test(start_paused = true)]
async fn a_standby_works_without_a_lease_when_the_store_is_away_for_long_and_stops_when_it_is_back() {
    let memory = Arc::new(MemoryLeaseStore::default());
    let store = Arc::clone(&memory) as Arc<dyn LeaseStore>;
    let options = LeaseOptions::default();
    let (first, second) = (process(&store, 1, &options), process(&store, 2, &options));
    let mut relay = first.stand(SharedWork::Relay, 1);
    let mut react = first.stand(SharedWork::React, 1);
    gained(&mut relay[0]).await;
    gained(&mut react[0]).await;
    let (mut relay_by, mut react_by) = (
        second.stand(SharedWork::Relay, 1),
        second.stand(SharedWork::React, 1),
    );
    tokio::time::sleep(Duration::from_secs(1)).await;
    memory.set_down(true);
    let away = Instant::now();
    gained(&mut relay_by[0]).await;
    assert_eq!(relay_by[0].standing(), LeaseStanding::Unleased);
    assert!(away.elapsed() < Duration::from_secs(7));
    assert!(
        !react_by[0].standing().works(),
        "destinations would hear everything twice"
    );
    gained(&mut react_by[0]).await;
    assert!(away.elapsed() > Duration::from_secs(59));
    assert!(relay[0].standing().works() && react[0].standing().works());
    memory.set_down(false);
    lost(&mut relay_by[0]).await;
    lost(&mut react_by[0]).await;
    assert!(
        relay[0].standing().works() && react[0].standing().works(),
        "who held it has it"
    );
}

/// A store that its process can't reach while it sleeps; nothing comes back to it meanwhile.
struct Sleepy {
    store: Arc<dyn LeaseStore>,
    awake: tokio::sync::watch::Sender<bool>,
}

impl Sleepy {
    fn over(store: Arc<dyn LeaseStore>) -> Self {
        let awake = tokio::sync::watch::Sender::new(true);
        Self { store, awake }
    }

    fn sleep(&self, asleep: bool) {
        self.awake.send_replace(!asleep);
    }

    async fn awake(&self) {
        let _ = self.awake.subscribe().wait_for(|awake| *awake).await;
    }
}

#[async_trait::async_trait]
impl LeaseStore for Sleepy {
    async fn read(&self, key: &str) -> Result<Kept, StoreError> {
        self.awake().await;
        self.store.read(key).await
    }

    async fn write(&self, key: &str, value: bytes::Bytes, expected: u64) -> Result<u64, StoreError> {
        self.awake().await;
        self.store.write(key, value, expected).await
    }

    async fn clear(&self, key: &str, expected: u64) -> Result<(), StoreError> {
        self.awake().await;
        self.store.clear(key, expected).await
    }
}

#[tokio::test(start_paused = true)]
async fn destinations_that_are_asked_for_are_handed_over_only_when_nothing_is_on_its_way() {
    let store = Arc::new(MemoryLeaseStore::default()) as Arc<dyn LeaseStore>;
    let options = LeaseOptions::default();
    let (first, second) = (process(&store, 1, &options), process(&store, 2, &options));
    let stands = first.stand(SharedWork::React, 4);
    until("one alone has all", || first.held() == 4).await;
    let _asks = second.stand(SharedWork::React, 4);
    until("it is told of two", || {
        stands.iter().filter(|lease| lease.standing().works()).count() == 2
    })
    .await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(second.held(), 0, "what is on its way would be sent twice");
    for lease in stands.iter().filter(|lease| !lease.standing().works()) {
        lease.settled();
    }
    until("they are handed over", || second.held() == 2).await;
    assert_eq!(first.held(), 2);
    first.keeper.close().await;
    until("all of them go with the stop", || second.held() == 4).await;
    second.keeper.close().await;
}
