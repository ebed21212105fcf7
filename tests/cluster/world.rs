//! All that runs, and what is done to it.

use std::collections::VecDeque;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::harness::{Receiver, Signed, Tools, eventually, free_port};
use crate::log::Log;
use crate::nats::{self, Nats};
use crate::observe::{Observer, Pause, Tables};
use crate::process::{Kind, Process};
use crate::sender::{Door, Senders, Sent};
use crate::{LEASE, SOON, lasts};

/// How often a delivery comes in.
const EVERY: Duration = Duration::from_millis(50);
/// The stream of what the log holds.
pub(crate) const STREAM: &str = "HOOKLOG";
/// More than are ever sent: the load ends when the drill does.
const DELIVERIES: usize = 12_000;
/// How long an append is tried while the log is away.
const APPEND_MS: &str = "4000";
/// Each ingest refuses so many deliveries before the log is back.
const REFUSED: usize = 5;

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
    pub(crate) log: Log,
    pub(crate) nats: Nats,
    pub(crate) receiver: Receiver,
    clickhouse: ClickHouse,
    /// Two of each kind, in the order of [`Kind::ALL`].
    processes: Vec<[Process; 2]>,
    doors: Vec<Arc<Door>>,
    senders: Option<Senders>,
    observer: Observer,
    acknowledged: Vec<(u64, Instant)>,
    /// Who led the stream, and how long it took until another one did.
    elections: Vec<(String, Duration)>,
    began: Instant,
    folder: TempDir,
}

impl World {
    pub(crate) async fn start() -> Self {
        let (began, tools, folder) = (Instant::now(), Tools::ready(), tempfile::tempdir().unwrap());
        let _already_set = rustls::crypto::ring::default_provider().install_default();
        let log = Log::start(folder.path()).await;
        let nats = Nats::start(folder.path()).await;
        let clickhouse = ClickHouse::start(folder.path(), "clickhouse").await;
        let receiver = Receiver::start().await;
        let settings = settings(&receiver.url());
        let bodies = folder.path().join("bodies");
        std::fs::create_dir_all(&bodies).unwrap();
        let environment = environment(&log.url(), &nats.url(), &clickhouse.tables.url, &bodies);
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
            log,
            nats,
            receiver,
            clickhouse,
            processes,
            doors,
            acknowledged: Vec::new(),
            elections: Vec::new(),
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

    /// A NATS server dies; when the others have gone on it is started again.
    pub(crate) async fn kill_nats(&mut self, n: usize) {
        let leads_stream = self.note_nats(n, "is killed").await;
        self.nats.kill(n);
        self.elected(n, leads_stream).await;
        self.goes_on().await;
        self.nats.restart(n).await;
        self.nats.is_whole().await;
        self.goes_on().await;
    }

    /// A NATS server sleeps for longer than a lease, and until the others have gone on; then it wakes.
    pub(crate) async fn pause_nats(&mut self, n: usize) {
        let leads_stream = self.note_nats(n, "sleeps").await;
        let begin = Instant::now();
        self.nats.sleep(n);
        self.elected(n, leads_stream).await;
        lasts((LEASE * 3 / 2).saturating_sub(begin.elapsed())).await;
        self.goes_on().await;
        self.note(&format!("NATS {} wakes", self.nats.name(n)));
        self.nats.wake(n);
        self.nats.is_whole().await;
        self.goes_on().await;
    }

    /// Says what is done to a NATS server, and what it leads; whether the stream is among that.
    async fn note_nats(&mut self, n: usize, what: &str) -> bool {
        let leads = self.nats.leads(n).await;
        let leads_what = match leads.as_slice() {
            [] => "nothing".to_owned(),
            leads => leads.join(", "),
        };
        let name = self.nats.name(n);
        self.note(&format!("NATS {name} {what}, which leads {leads_what}"));
        leads.iter().any(|led| led == STREAM)
    }

    /// Waits for the election, if the one that went led the stream.
    async fn elected(&mut self, n: usize, led_stream: bool) {
        if led_stream {
            let begin = Instant::now();
            self.nats.another_leads(STREAM, n).await;
            let took = begin.elapsed();
            self.tell(&format!("another one leads after {took:.2?}"));
            self.elections.push((self.nats.name(n).to_owned(), took));
        }
    }

    /// The log dies; when deliveries were refused for it, it is started again over what it had written.
    pub(crate) async fn kill_log(&mut self) {
        self.log_goes("the log is killed");
        self.log.kill();
        self.refuses().await;
        self.log.restart().await;
        self.log_is_back().await;
    }

    /// The log sleeps, for longer than a lease and until deliveries were refused for it; then it wakes.
    pub(crate) async fn pause_log(&mut self) {
        self.log_goes("the log sleeps");
        self.log.sleep();
        lasts(LEASE * 3 / 2).await;
        self.refuses().await;
        self.log.wake();
        self.log_is_back().await;
    }

    fn log_goes(&mut self, what: &str) {
        self.note(what);
        self.senders.as_ref().expect("the load goes on").log_goes();
    }

    /// Waits until each ingest refuses deliveries.
    async fn refuses(&self) {
        let before: Vec<_> = self.doors.iter().map(|door| door.refused()).collect();
        eventually("each ingest refuses while the log is away", SOON, || async {
            let now: Vec<_> = self.doors.iter().map(|door| door.refused()).collect();
            let enough = now
                .iter()
                .zip(&before)
                .all(|(now, before)| *now >= before + REFUSED);
            enough
                .then_some(())
                .ok_or_else(|| format!("they refused {now:?} so far, {before:?} before"))
        })
        .await;
    }

    async fn log_is_back(&mut self) {
        let begin = Instant::now();
        self.senders.as_ref().expect("the load goes on").log_is_back();
        self.observer.log_is_back();
        self.tell("the log is back");
        self.goes_on().await;
        self.tell(&format!("everything went on within {:.2?}", begin.elapsed()));
        self.note("the log had been away");
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
        let (log, bodies) = (self.log.url(), folder.join("bodies"));
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

    /// The longest that a delivery waited to be projected, whatever died or slept but the log. What follows once that is back is
    /// told, and takes as long as its readers wait before they try it again.
    pub(crate) fn longest_pause(&self) -> Duration {
        let pauses = self.observer.pauses(&self.acknowledged).into_iter();
        let pauses = pauses.filter(|pause| pause.away.is_zero());
        pauses.map(|pause| pause.lasted).max().unwrap_or_default()
    }

    pub(crate) fn summary(&self, sent: &Sent) {
        eprintln!(
            "{} deliveries acknowledged, {} requests sent again after a disturbance, {} failures, slowest answer {:.2?}",
            sent.acknowledged.len(),
            sent.sent_again,
            sent.failures.len(),
            sent.slowest
        );
        eprintln!(
            "{} requests refused with 503 while the log was away, the slowest after {:.2?}",
            sent.refused, sent.slowest_refusal
        );
        for Pause { what, lasted, away } in self.observer.pauses(&self.acknowledged) {
            if away.is_zero() {
                eprintln!("  {what}: projected within {lasted:.2?}");
            } else {
                eprintln!("  {what}, for {away:.2?}: projected within {lasted:.2?} beside that");
            }
        }
        for (server, took) in &self.elections {
            eprintln!("  {server} led the stream: another one did after {took:.2?}");
        }
        eprintln!(
            "longest pause in projecting, the log being there: {:.2?}",
            self.longest_pause()
        );
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
        ("HOOKLOG_LOG__EVENTSTORE__APPEND_TIMEOUT_MS", APPEND_MS),
        ("HOOKLOG_INGEST__APPEND_TIMEOUT_MS", APPEND_MS),
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
