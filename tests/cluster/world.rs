//! All that runs, and what is done to it.

use std::collections::VecDeque;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use eventstore_sim::{Node, NodeOptions, Store};
use tempfile::TempDir;

use crate::harness::{Receiver, Signed, Tools, eventually};
use crate::nats::{self, Nats, free_port};
use crate::observe::{Observer, Tables};
use crate::process::{Kind, Process};
use crate::sender::{Door, Senders, Sent};
use crate::{LEASE, SOON, lasts};

/// How often a delivery comes in.
const EVERY: Duration = Duration::from_millis(50);
/// More than are ever sent: the load ends when the drill does.
const DELIVERIES: usize = 12_000;

/// A ClickHouse, killed when it is dropped.
struct ClickHouse {
    tables: Tables,
    child: Child,
}

impl Drop for ClickHouse {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl ClickHouse {
    async fn start(folder: &Path, name: &str) -> Self {
        let library = nats::engine(folder, "libchdb.so").display().to_string();
        let (http, tcp, other) = (free_port(), free_port(), free_port());
        let place = folder.join(name).display().to_string();
        let (port, ports) = (http.to_string(), format!("{tcp},{other}"));
        let arguments = [&library, &place, &port, &ports, Tables::USER, Tables::PASSWORD];
        let clickhouse = Self {
            child: Command::new("python3")
                .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools/shard.py"))
                .args(arguments)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                // It says every step that it takes.
                .stderr(Stdio::null())
                .spawn()
                .expect("Python runs"),
            tables: Tables::at(http),
        };
        let tables = &clickhouse.tables;
        eventually("the engine answers", SOON, || tables.ask("SELECT 1")).await;
        clickhouse
    }
}

pub(crate) struct World {
    pub(crate) node: Node,
    pub(crate) nats: Nats,
    pub(crate) receiver: Receiver,
    clickhouse: ClickHouse,
    /// Two of each kind, in the order of [`Kind::ALL`].
    processes: Vec<[Process; 2]>,
    doors: Vec<Arc<Door>>,
    senders: Option<Senders>,
    observer: Observer,
    acknowledged: Vec<(u64, Instant)>,
    began: Instant,
    folder: TempDir,
}

impl World {
    pub(crate) async fn start() -> Self {
        let (began, tools, folder) = (Instant::now(), Tools::ready(), tempfile::tempdir().unwrap());
        let _already_set = rustls::crypto::ring::default_provider().install_default();
        let node = Node::start(Arc::<Store>::default(), NodeOptions::default())
            .await
            .unwrap();
        let nats = Nats::start(folder.path()).await;
        let clickhouse = ClickHouse::start(folder.path(), "clickhouse").await;
        let receiver = Receiver::start().await;
        let settings = settings(&receiver.url());
        let bodies = folder.path().join("bodies");
        std::fs::create_dir_all(&bodies).unwrap();
        let environment = environment(&node.url(), &nats.url(), &clickhouse.tables.url, &bodies);
        let spawn = |kind: Kind, n: usize| {
            let role = kind.role();
            Process::spawn(
                folder.path(),
                &format!("{role}-{n}"),
                role,
                &settings,
                &environment,
            )
        };
        let processes: Vec<_> = Kind::ALL.map(|kind| [spawn(kind, 0), spawn(kind, 1)]).into();
        for process in processes.iter().flatten() {
            process.server().ready().await;
            eprintln!(
                "{:6.1} s: {} is ready",
                began.elapsed().as_secs_f64(),
                process.name
            );
        }
        let ingests = processes[place(Kind::Ingest)].iter();
        let doors: Vec<_> = ingests.map(|ingest| Door::new(ingest.server().base())).collect();
        let deliveries = VecDeque::from(Signed::spread(&tools, DELIVERIES, "cluster", 20));
        let mut world = Self {
            observer: Observer::start(clickhouse.tables.clone()),
            senders: Some(Senders::start(doors.clone(), deliveries, EVERY)),
            node,
            nats,
            receiver,
            clickhouse,
            processes,
            doors,
            acknowledged: Vec::new(),
            began,
            folder,
        };
        world.goes_on().await;
        world.nats.is_whole().await;
        world.note("everything runs");
        world.goes_on().await;
        world
    }

    fn tell(&self, what: &str) {
        eprintln!("{:6.1} s: {what}", self.began.elapsed().as_secs_f64());
    }

    fn note(&mut self, what: &str) {
        self.tell(what);
        self.observer.note(what);
    }

    /// Waits until deliveries that come in from now on are acknowledged, projected and handed on.
    async fn goes_on(&mut self) {
        let senders = self.senders.as_ref().expect("the load goes on");
        let mut count = senders.count();
        let wanted = *count.borrow() + 20;
        // What is given back would keep the senders from counting on.
        let more = tokio::time::timeout(SOON, count.wait_for(|count| *count >= wanted))
            .await
            .is_ok();
        assert!(more, "deliveries are not acknowledged any more");
        let handed_on = self.receiver.taken().len() + 5;
        let last = senders
            .positions()
            .into_iter()
            .map(|(position, _)| position)
            .max();
        self.observer.reaches(last.unwrap_or_default()).await;
        self.receiver.has_taken(handed_on, SOON).await;
    }

    fn process(&mut self, kind: Kind, n: usize) -> &mut Process {
        &mut self.processes[place(kind)][n]
    }

    /// A process dies; when the others have gone on it is started again.
    pub(crate) async fn kill(&mut self, kind: Kind, n: usize) {
        let name = self.process(kind, n).name.clone();
        self.note(&format!("{name} is killed"));
        if kind == Kind::Ingest {
            self.doors[n].disturb();
        }
        self.process(kind, n).kill().await;
        self.goes_on().await;
        self.process(kind, n).restart().await;
        if kind == Kind::Ingest {
            self.doors[n].lives();
        }
        self.goes_on().await;
    }

    /// A process sleeps for longer than its lease, and until the others have gone on; then it wakes.
    pub(crate) async fn pause(&mut self, kind: Kind, n: usize) {
        let name = self.process(kind, n).name.clone();
        self.note(&format!("{name} sleeps"));
        if kind == Kind::Ingest {
            self.doors[n].disturb();
        }
        self.process(kind, n).sleep();
        lasts(LEASE * 3 / 2).await;
        self.goes_on().await;
        self.note(&format!("{name} wakes"));
        self.process(kind, n).wake();
        self.process(kind, n).server().ready().await;
        if kind == Kind::Ingest {
            self.doors[n].lives();
        }
        self.goes_on().await;
    }

    /// The NATS server that leads the stream dies.
    pub(crate) async fn kill_nats(&mut self) {
        let n = self.nats.leader("HOOKLOG").await;
        self.note(&format!("NATS {}, which leads, is killed", self.nats.name(n)));
        self.nats.kill(n);
        self.goes_on().await;
        self.nats.another_leads("HOOKLOG", n).await;
        self.tell("another one leads");
        self.goes_on().await;
        self.nats.restart(n).await;
        self.nats.is_whole().await;
    }

    /// The NATS server that leads the stream sleeps, and wakes.
    pub(crate) async fn pause_nats(&mut self) {
        let n = self.nats.leader("HOOKLOG").await;
        self.note(&format!("NATS {}, which leads, sleeps", self.nats.name(n)));
        self.nats.sleep(n);
        lasts(LEASE * 3 / 2).await;
        self.goes_on().await;
        self.nats.another_leads("HOOKLOG", n).await;
        self.tell("another one leads");
        self.note(&format!("NATS {} wakes", self.nats.name(n)));
        self.nats.wake(n);
        self.nats.is_whole().await;
        self.goes_on().await;
    }

    /// No more deliveries begin, and every one that began is acknowledged and projected.
    pub(crate) async fn end_of_load(&mut self) -> Sent {
        let senders = self.senders.take().expect("the load goes on");
        let sent = senders.end().await;
        let positions = sent.acknowledged.values().map(|sent| (sent.position, sent.at));
        self.acknowledged = positions.collect();
        let last = self.acknowledged.iter().map(|(position, _)| *position).max();
        self.observer.reaches(last.unwrap_or_default()).await;
        self.tell("the load has ended");
        sent
    }

    pub(crate) fn tables(&self) -> &Tables {
        &self.clickhouse.tables
    }

    pub(crate) fn queries(&self) -> &[Process; 2] {
        &self.processes[place(Kind::Query)]
    }

    /// One process that publishes and projects the same log elsewhere, and nobody disturbs it. What it made of it, when it is done.
    pub(crate) async fn undisturbed(&self, head: u64, run: impl AsyncFnOnce(&Nats, &Tables)) {
        let folder = self.folder.path();
        let nats = Nats::alone(folder).await;
        let clickhouse = ClickHouse::start(folder, "other-clickhouse").await;
        let (log, bodies) = (self.node.url(), folder.join("bodies"));
        let mut environment = environment(&log, &nats.url(), &clickhouse.tables.url, &bodies);
        environment.push(("HOOKLOG_NATS__REPLICAS".to_owned(), "1".to_owned()));
        let process = Process::spawn(folder, "undisturbed", "relay,project", "", &environment);
        process.server().ready().await;
        eventually("the undisturbed tables hold the log", SOON, || async {
            match clickhouse.tables.reached().await? {
                reached if reached >= head => Ok(()),
                reached => Err(format!("they hold it up to {reached} of {head}")),
            }
        })
        .await;
        run(&nats, &clickhouse.tables).await;
    }

    /// The longest that a delivery waited to be projected.
    pub(crate) fn longest_pause(&self) -> Duration {
        let pauses = self.observer.pauses(&self.acknowledged);
        pauses
            .into_iter()
            .map(|(_, pause)| pause)
            .max()
            .unwrap_or_default()
    }

    pub(crate) fn summary(&self, sent: &Sent) {
        eprintln!(
            "{} deliveries acknowledged, {} requests sent again after a disturbance, {} failures, slowest answer {:.2?}",
            sent.acknowledged.len(),
            sent.sent_again,
            sent.failures.len(),
            sent.slowest
        );
        for (what, pause) in self.observer.pauses(&self.acknowledged) {
            eprintln!("  {what}: projected within {pause:.2?}");
        }
        self.tell("the end");
    }
}

fn place(kind: Kind) -> usize {
    let place = Kind::ALL.iter().position(|other| *other == kind);
    place.expect("every kind is one of all")
}

fn settings(receiver: &str) -> String {
    format!(
        "[reactors]\nretry_delay_ms = 50\nbreaker_failures = 100\naddresses_allowed = [\"127.0.0.0/8\"]\n\
         [[destination]]\nname = \"ci\"\nurl = \"{receiver}\"\n"
    )
}

fn environment(log: &str, nats: &str, clickhouse: &str, bodies: &Path) -> Vec<(String, String)> {
    let (lease, bodies) = (
        LEASE.as_millis().to_string(),
        format!("file://{}", bodies.display()),
    );
    let variables = [
        ("HOOKLOG_LOG__BACKEND", "eventstore"),
        ("HOOKLOG_LOG__EVENTSTORE__URL", log),
        ("HOOKLOG_BODIES__URL", &bodies),
        ("HOOKLOG_NATS__URL", nats),
        ("HOOKLOG_NATS__TOKEN", nats::TOKEN),
        ("HOOKLOG_NATS__REPLICAS", "3"),
        ("HOOKLOG_NATS__BYTES_MAX", "67108864"),
        ("HOOKLOG_CLICKHOUSE__URL", clickhouse),
        ("HOOKLOG_CLICKHOUSE__USER", Tables::USER),
        ("HOOKLOG_CLICKHOUSE__PASSWORD", Tables::PASSWORD),
        ("HOOKLOG_LEASES__TTL_MS", &lease),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    variables.into()
}
