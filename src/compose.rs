//! Where the parts become a program: the only file that names every crate.
//!
//! The order matters. Deliveries are taken as soon as the log is open, however long the engines take: what is in the log
//! is published and projected later. Stopping goes the other way round.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use domain::{BodyStore, Destinations, EventLog, FanOut, NameReactors, Onlooker, Replays, Tables};
use infra::access::{AuditTrail, KeyKeeper};
use infra::budget::{DiskBudget, Shrink};
use infra::data_dir::DataDir;
use infra::engine::{Endpoints, EngineOptions, Engines};
use infra::jetstream::Subjects;
use infra::source::SourceKeeper;
use ingest::Ingest;
use metrics_exporter_prometheus::PrometheusHandle;
use projections::{Meter, Projector, ProjectorPorts, Relay, RelayOptions};
use query_api::{Api, ApiDeps};
use reactors::DestinationPlan;
use reactors::destination::Router;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::SystemClock;
use crate::role::{Role, Roles};
use crate::serve::access;
use crate::serve::banner::{self, Banner};
use crate::serve::bodies;
use crate::serve::connect;
use crate::serve::endpoints;
use crate::serve::http::tls::Tls;
use crate::serve::http::{self, FrontDoor};
use crate::serve::late::{LateStream, LateTables};
use crate::serve::log::OpenLog;
use crate::serve::ranges::Ranges;
use crate::serve::react::{self, LateSubjects};
use crate::serve::rejected::LateRejected;
use crate::serve::share::{self, Sharing};
use crate::serve::sources;
use crate::serve::status::{Status, Synthetic, TextMetrics};
use crate::serve::stop;
use crate::serve::verify::ByReceiver;
use crate::settings::Settings;
use crate::telemetry;

/// What is there as soon as the log is open.
struct Core {
    settings: Settings,
    roles: Roles,
    data: DataDir,
    log: OpenLog,
    /// The log as everybody but the one who closes it sees it.
    events: Arc<dyn EventLog>,
    bodies: Arc<dyn BodyStore>,
    stream: Arc<LateStream>,
    subjects: Arc<LateSubjects>,
    rejected: Arc<LateRejected>,
    status: Arc<Status>,
    keys: Arc<KeyKeeper>,
    tables: Arc<LateTables>,
    sharing: Arc<Sharing>,
    /// The relay and the projections stop first, then the log.
    stop_followers: CancellationToken,
}

/// Runs everything until SIGTERM or SIGINT.
///
/// # Errors
/// When something is wrong that a restart would not mend: a port in use, a directory in use, a damaged log.
pub(crate) async fn serve(mut settings: Settings, roles: Roles) -> anyhow::Result<()> {
    if !settings.secrets.core_dumps {
        infra::secret::forbid_core_dumps().context("core dumps can't be turned off")?;
    }
    share::check(&settings, &roles)?;
    let metrics = telemetry::start_metrics()?;
    let address = std::net::SocketAddr::new(settings.server.host, settings.server.port);
    let tls = settings.server.tls().map(Tls::open).transpose()?.map(Arc::new);
    let (listener, bound) = http::bind(address).await?;
    // References to large bodies name the port that was taken, not the 0 that asked for any.
    settings.server.port = bound.port();
    let core = Arc::new(open(settings, roles).await?);
    let (plans, router) = react::destinations(
        &core.settings,
        Arc::clone(&core.bodies),
        Arc::clone(&core.subjects),
    )?;
    let ingest = receiver(&core, Arc::clone(&router) as _)?;
    let sources = sources::keeper(&core.settings, &core.data, Arc::clone(&core.events), &ingest)?;
    tokio::spawn(Arc::clone(&sources).follow(core.stop_followers.clone()));
    let reacting = reactors(&core, plans, router)?;
    if core.roles.has(Role::Ingest) {
        core.status.ingest_started(ingest.clone());
    }
    let api = api(&core, &reacting, &ingest, sources, metrics)?;
    let (stop_http, stop_live) = (CancellationToken::new(), CancellationToken::new());
    let draining = CancellationToken::new();
    let live = tokio::spawn(api.live().run(stop_live.clone()));
    let limits = core.settings.server.limits();
    let door = front_door(&core, &ingest, &api, draining.clone());
    let listeners = access::listeners(&core.data, listener, tls, &core.stop_followers);
    let mut http = tokio::spawn(http::run(listeners, door, limits, stop_http.clone()));
    banner::print(&Banner {
        address: bound,
        settings: &core.settings,
        data: &core.data,
        keyless: access::keyless(&core.keys).await,
    });
    let followers = tokio::spawn(follow(Arc::clone(&core)));
    let outcome = tokio::select! {
        signal = stop::signalled() => signal,
        ended = &mut http => ended.context("the HTTP server was lost"),
    };
    core.status.stopping();
    draining.cancel();
    stop::drain(core.settings.server.drain_delay()).await;
    // Live clients have nothing to wait for, and the stop must not wait for them.
    stop_live.cancel();
    tracing::info!("stopping: open deliveries are finished, new ones are answered 503");
    if tokio::time::timeout(limits.shutdown_timeout, ingest.drain())
        .await
        .is_err()
    {
        tracing::warn!("a sender is too slow to wait for; its delivery was not accepted");
    }
    stop_http.cancel();
    if !http.is_finished() {
        http.await.context("the HTTP server was lost")?;
    }
    live.await.context("the feed of live clients was lost")?;
    // Attempts under way may need the engines, which stop with the followers.
    reacting.stop.cancel();
    join(reacting.tasks).await;
    core.stop_followers.cancel();
    followers.await.context("the followers of the log were lost")?;
    core.log.close().await;
    tracing::info!("stopped");
    outcome
}

fn front_door(core: &Core, ingest: &Ingest, api: &Api, draining: CancellationToken) -> FrontDoor {
    FrontDoor {
        ingest: core.roles.has(Role::Ingest).then(|| ingest.clone()),
        api: api.endpoint(),
        proxies: core.settings.server.proxies(),
        draining,
    }
}

/// The read side, with everything that it asks.
fn api(
    core: &Core,
    reacting: &Reacting,
    ingest: &Ingest,
    sources: Arc<SourceKeeper>,
    metrics: PrometheusHandle,
) -> anyhow::Result<Api> {
    let deps = ApiDeps {
        log: Arc::clone(&core.events),
        events: Arc::clone(&core.stream) as _,
        find: core.log.find(),
        bodies: Arc::clone(&core.bodies),
        tables: Arc::clone(&core.tables) as Arc<dyn Tables>,
        clock: Arc::new(SystemClock),
        sources,
        rejected: Arc::clone(&core.rejected) as _,
        keys: Arc::clone(&core.keys) as _,
        audit: Arc::new(AuditTrail::new(Arc::clone(&core.events), Arc::new(SystemClock))),
        session_secret: access::session_secret(&core.data)?,
        status: Arc::clone(&core.status) as _,
        replays: Arc::clone(&reacting.replays),
        destinations: Arc::clone(&reacting.destinations),
        test: Arc::new(Synthetic(ingest.clone())),
        check: Arc::new(ByReceiver::new(ingest.clone())),
        metrics: Arc::new(TextMetrics(metrics)),
        version: env!("CARGO_PKG_VERSION").into(),
        base_url: core.settings.server.base_url(),
    };
    Ok(Api::build(
        core.settings.api.clone(),
        core.settings.live.clone(),
        deps,
    ))
}

async fn open(settings: Settings, roles: Roles) -> anyhow::Result<Core> {
    let data = DataDir::open(&settings.data.dir)?;
    let log = OpenLog::open(&settings, &data).await?;
    let budget = DiskBudget::build(settings.data.budget.clone(), data.path())
        .context("room on the disk can't be measured")?;
    let events = log.events(budget.handle());
    let bodies = bodies::open(&settings, &data, budget.handle()).await?;
    let sharing = Arc::new(Sharing::new(&settings, &roles, events.id()));
    let status = Arc::new(Status::new(Arc::clone(&events), &roles, Arc::clone(&sharing)));
    let (stream, stop_followers) = (Arc::<LateStream>::default(), CancellationToken::new());
    let keys = KeyKeeper::new(settings.keys.clone(), Arc::clone(&events), Arc::new(SystemClock));
    let keys = Arc::new(keys);
    tokio::spawn(Arc::clone(&keys).follow(stop_followers.clone()));
    tokio::spawn(budget.run(
        Some(Arc::clone(&stream) as Arc<dyn Shrink>),
        stop_followers.clone(),
    ));
    let rejected = Arc::new(LateRejected::new(&settings));
    Ok(Core {
        settings,
        roles,
        data,
        log,
        events,
        bodies,
        stream,
        subjects: Arc::default(),
        rejected,
        status,
        keys,
        tables: Arc::default(),
        sharing,
        stop_followers,
    })
}

/// What hands deliveries on, and how it is told to.
struct Reacting {
    replays: Arc<dyn Replays>,
    destinations: Arc<dyn Destinations>,
    tasks: JoinSet<()>,
    /// They stop first, then the followers.
    stop: CancellationToken,
}

/// Starts to hand deliveries on. It needs the log alone, so it does not wait for the engines. Without the role it only takes
/// orders: they stand in the log, and whoever has the role carries them out.
fn reactors(core: &Core, plans: Vec<DestinationPlan>, router: Arc<Router>) -> anyhow::Result<Reacting> {
    let stop = core.stop_followers.child_token();
    let reacts = core.roles.has(Role::React);
    let checkpoints = core.sharing.checkpoints(&core.data.checkpoints())?;
    let (log, leases) = (Arc::clone(&core.events), core.sharing.leases());
    let assembled = react::assemble(
        &core.settings,
        plans,
        router,
        react::Ports {
            log,
            checkpoints,
            leases,
        },
    )?;
    Ok(Reacting {
        replays: Arc::new(assembled.replay_handle.clone()),
        destinations: assembled.destinations(reacts),
        tasks: if reacts {
            assembled.start(&stop)
        } else {
            JoinSet::new()
        },
        stop,
    })
}

/// Waits for tasks that were told to stop.
async fn join(mut tasks: JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a follower of the log was lost");
        }
    }
}

fn receiver(core: &Core, router: Arc<dyn NameReactors>) -> anyhow::Result<Ingest> {
    let mut sources = core
        .settings
        .sources(|name| Ok(core.data.generated_secret(name)?.0))?;
    let folder = core.data.path().join("address_ranges");
    let ranges = Ranges::start(&core.settings, &folder, &core.stop_followers)?;
    for source in &mut sources {
        if let Some(settings) = core.settings.source.get(&source.name) {
            source.address_ranges = ranges.of(&settings.address_ranges);
        }
    }
    let log = Arc::clone(&core.events);
    let bodies = Arc::clone(&core.bodies);
    let ingest = Ingest::build(
        core.settings.ingest.clone(),
        sources,
        log,
        bodies,
        Arc::new(SystemClock),
        router,
    )?;
    if core.settings.rejected.keep {
        let queue = Arc::new(core.rejected.queue());
        ingest.keep_rejected(core.settings.rejected_kept(), queue);
    }
    Ok(ingest)
}

/// Starts the engines, then everything that follows the log through them, and stops it all when told to.
async fn follow(core: Arc<Core>) {
    let stop = core.stop_followers.clone();
    let engines = tokio::select! {
        engines = start_engines(&core) => Arc::new(engines),
        () = stop.cancelled() => return,
    };
    core.status.engines_started(Arc::clone(&engines));
    if let Err(error) = endpoints::write(core.data.path(), engines.endpoints()) {
        tracing::warn!(
            error = format!("{error:#}"),
            "how to reach the engines is not written down"
        );
    }
    let tables = tokio::select! {
        tables = connect::tables(&core.settings, engines.endpoints()) => tables,
        () = stop.cancelled() => return engines.shutdown().await,
    };
    core.tables.set(Arc::clone(&tables));
    let mut tasks = JoinSet::new();
    tokio::select! {
        () = start_followers(&core, engines.endpoints(), tables, &mut tasks) => stop.cancelled().await,
        () = stop.cancelled() => {}
    }
    join(tasks).await;
    core.sharing.close().await;
    engines.shutdown().await;
}

/// Starts the engines that have no URL. Deliveries are taken meanwhile, so a failure is tried again for ever.
async fn start_engines(core: &Core) -> Engines {
    let settings = &core.settings.engines;
    let options = EngineOptions {
        data_dir: core.data.path().to_owned(),
        engines_dir: settings.dir(),
        nats: core.settings.nats.url.is_empty()
            && (core.roles.has(Role::Relay) || core.roles.has(Role::Project) || publishes(core)),
        clickhouse: core.settings.clickhouse.url.is_empty()
            && (core.roles.has(Role::Project) || core.roles.has(Role::Query)),
        fetch: settings.fetch,
        fetch_timeout_ms: settings.fetch_timeout_ms,
        nats_port: settings.nats_port,
        clickhouse_port: settings.clickhouse_port,
        clickhouse_memory_bytes_max: settings.clickhouse_memory_bytes_max,
        // Room for the streams, and for what JetStream keeps beside them.
        jetstream_bytes_max: core
            .settings
            .nats
            .bytes_max
            .saturating_add(core.settings.rejected.bytes_max)
            .saturating_mul(2),
        start_timeout_ms: settings.start_timeout_ms,
        stop_timeout_ms: settings.stop_timeout_ms,
        silence_timeout_ms: settings.silence_timeout_ms,
        backoff_ms_min: settings.backoff_ms_min,
        backoff_ms_max: settings.backoff_ms_max,
        ..EngineOptions::default()
    };
    let program = own_program();
    loop {
        match Engines::start(&options, &program).await {
            Ok(engines) => return engines,
            Err(error) => {
                core.status.engines_trouble(Some(error.to_string()));
                let error = anyhow::Error::from(error);
                let error = format!("{error:#}");
                tracing::error!(
                    error,
                    "the engines can't be started; deliveries are taken all the same"
                );
                tokio::time::sleep(Duration::from_millis(settings.backoff_ms_max)).await;
            }
        }
    }
}

/// This very program, even when its file was replaced by a newer one meanwhile: a running server starts its own version.
fn own_program() -> PathBuf {
    if cfg!(target_os = "linux") {
        return PathBuf::from("/proc/self/exe");
    }
    std::env::current_exe().unwrap_or_else(|_| PathBuf::from("hooklog"))
}

/// Whether deliveries go to subjects of NATS from here.
fn publishes(core: &Core) -> bool {
    core.roles.has(Role::React) && core.settings.destination.iter().any(|d| d.subject.is_some())
}

/// Whether a NATS server that is there anyway is needed to keep rejected requests, or to show them. None is started for it.
fn looks_up(core: &Core) -> bool {
    !core.settings.nats.url.is_empty() && (core.roles.has(Role::Ingest) || core.roles.has(Role::Query))
}

/// Starts the relay and the projections, each with its role.
async fn start_followers(
    core: &Core,
    endpoints: &Endpoints,
    tables: Arc<dyn Tables>,
    tasks: &mut JoinSet<()>,
) {
    let (relays, projects) = (core.roles.has(Role::Relay), core.roles.has(Role::Project));
    let (shares, queries) = (core.sharing.is_shared(), core.roles.has(Role::Query));
    if !relays && !projects && !publishes(core) && !looks_up(core) && !shares {
        return;
    }
    let stream = connect::stream(&core.settings, endpoints).await;
    core.sharing.set(&stream);
    core.stream.set(Arc::clone(&stream));
    core.subjects.set(Arc::new(Subjects::new((*stream).clone())));
    let receives = core.roles.has(Role::Ingest) && core.settings.rejected.keep;
    core.rejected
        .start(&stream, receives, tasks, &core.stop_followers);
    let (log, leases) = (Arc::clone(&core.events), core.sharing.leases());
    if relays {
        let options = RelayOptions {
            base_url: core.settings.server.base_url(),
            ..core.settings.relay.clone()
        };
        let fanout = Arc::clone(&stream) as Arc<dyn FanOut>;
        let (relay, handle) = Relay::build(
            options,
            Arc::clone(&log),
            fanout,
            Arc::new(SystemClock),
            leases.as_ref(),
        );
        core.status.relay_started(handle);
        tasks.spawn(relay.run(core.stop_followers.clone()));
    }
    if projects {
        let meter = Meter::build(
            core.settings.metrics.clone(),
            Arc::clone(&log),
            Arc::clone(&core.bodies),
            Arc::new(SystemClock),
            leases.as_ref(),
        );
        tasks.spawn(meter.run(core.stop_followers.clone()));
    }
    // Who answers questions has to know how the projections are, and takes orders to rebuild one, whoever fills them.
    if projects || queries && shares {
        let ports = ProjectorPorts {
            log,
            live: stream,
            tables,
            bodies: Arc::clone(&core.bodies),
            clock: Arc::new(SystemClock),
            leases: if projects { leases } else { Arc::new(Onlooker) },
        };
        let (projector, handle) = Projector::build(
            core.settings.projections.clone(),
            projections::models::factories(),
            ports,
        );
        core.status.projector_started(handle);
        tasks.spawn(projector.run(core.stop_followers.clone()));
    }
}
