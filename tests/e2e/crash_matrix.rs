//! Kill -9 of the server, of NATS and of ClickHouse, each at every step of a delivery's way: receive, append, relay, project,
//! react, outcome. To be at a step, whatever comes after it is held: an engine is stopped in its tracks, the destination does
//! not answer. In the end every delivery is compared one by one, from what was sent to what arrived.

use std::collections::HashMap;
use std::time::Duration;

use rustix::process::Signal;
use tokio::task::JoinSet;

use crate::harness::{
    Behaviour, Launch, Load, RawConnection, Receiver, Server, Signed, Tools, child_running, eventually,
    github_headers, kill9, knob, signal,
};
use crate::reconcile::{Sent, dump, forwarded, reconcile, same_answers_as_the_fold};

/// Deliveries sent in each cell of the matrix.
const PER_CELL: usize = 60;
const WRITERS: usize = 8;
const SOON: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Serve,
    Nats,
    ClickHouse,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Half of a delivery's body has come.
    Receive,
    /// Appends are under way, some of them answered.
    Append,
    /// The log is ahead of the stream: NATS does not move.
    Relay,
    /// The stream is ahead of the tables: ClickHouse does not move.
    Project,
    /// Requests are at the destination, which does not answer.
    React,
    /// The destination has answered; the outcome is being appended.
    Outcome,
}

const VICTIMS: [Victim; 3] = [Victim::Serve, Victim::Nats, Victim::ClickHouse];
const STEPS: [Step; 6] = [
    Step::Receive,
    Step::Append,
    Step::Relay,
    Step::Project,
    Step::React,
    Step::Outcome,
];

/// What runs during the matrix.
struct Stage {
    server: Option<Server>,
    receiver: Receiver,
    load: std::sync::Arc<Load>,
    /// Deliveries acknowledged when the cell began.
    before: usize,
}

/// What holds deliveries at a step.
struct Hold {
    /// An engine that was stopped in its tracks.
    stopped: Option<u32>,
    /// A delivery of which only the half has come.
    half: Option<RawConnection>,
    /// Senders at work.
    writers: JoinSet<()>,
}

impl Stage {
    fn server(&self) -> &Server {
        self.server.as_ref().expect("it runs")
    }

    /// The process to kill or to stop; an engine killed a moment ago is being started again.
    async fn engine(&self, victim: Victim) -> u32 {
        let word = match victim {
            Victim::Nats => "nats",
            Victim::ClickHouse => "clickhouse",
            Victim::Serve => return self.server().pid(),
        };
        eventually("the engine runs", SOON, || async {
            child_running(self.server().pid(), word).ok_or_else(|| "it does not".to_owned())
        })
        .await
    }

    /// Brings deliveries to a step; returns what holds them there.
    async fn reach(&mut self, step: Step) -> Hold {
        let stopped = match step {
            Step::Relay => Some(self.engine(Victim::Nats).await),
            Step::Project => Some(self.engine(Victim::ClickHouse).await),
            Step::Receive | Step::Append | Step::React | Step::Outcome => None,
        };
        if let Some(pid) = stopped {
            signal(pid, Signal::STOP);
        }
        let mut hold = Hold {
            stopped,
            half: None,
            writers: JoinSet::new(),
        };
        if step == Step::React {
            self.receiver.then(vec![Behaviour::Hang; 5]);
        }
        let seen = self.receiver.taken().len();
        let writers = self.load.start(&self.server().base(), WRITERS);
        let wanted = match step {
            Step::Append => self.before + PER_CELL / 3,
            Step::Receive | Step::Relay | Step::Project | Step::React | Step::Outcome => {
                self.before + PER_CELL
            }
        };
        match step {
            Step::Receive => hold.half = Some(self.half_a_body().await),
            Step::Append | Step::Relay | Step::Project => self.load.acknowledged(wanted).await,
            Step::React => {
                self.receiver.has_taken(seen + 1, SOON).await;
            }
            // Between the answer of the destination and the outcome is a moment; with many of them, a kill falls into some.
            Step::Outcome => {
                self.receiver.has_taken(seen + PER_CELL / 2, SOON).await;
            }
        }
        hold.writers = writers;
        hold
    }

    /// Sends one and a half deliveries, and keeps the connection of the half one.
    async fn half_a_body(&self) -> RawConnection {
        let mut connection = RawConnection::to(self.server()).await;
        let mut head: Vec<String> = github_headers("push", "half-a-body", "sha256=00")
            .into_iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        head.push("Content-Length: 50000".into());
        connection.write_head(&head).await;
        connection.write(vec![b'x'; 25_000]).await;
        self.load.acknowledged(self.before + 1).await;
        connection
    }

    async fn kill(&mut self, victim: Victim, hold: Hold) {
        match victim {
            Victim::Serve => {
                let server = self.server.take().expect("it runs");
                let launch = server.kill().await;
                self.server = Some(launch.start().await);
            }
            Victim::Nats | Victim::ClickHouse => {
                let pid = self.engine(victim).await;
                kill9(pid);
                if let Some(stopped) = hold.stopped.filter(|stopped| *stopped != pid) {
                    signal(stopped, Signal::CONT);
                }
                self.server().ready().await;
            }
        }
        drop(hold.half);
        hold.writers.join_all().await;
    }
}

fn settings(receiver: &Receiver) -> String {
    format!(
        "[reactors]\nretry_delay_ms = 50\nretry_delay_ms_max = 1000\nretries_max = 20\ntimeout_ms = 3000\ncircuit_breaker = false\n\
         addresses_allowed = [\"127.0.0.0/8\"]\n[[destination]]\nname = \"ci\"\nurl = \"{}\"\n",
        receiver.url()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_step_nothing_is_lost_and_nothing_is_doubled() {
    let rounds = knob("HOOKLOG_MATRIX", 1);
    let tools = Tools::ready();
    let cells = rounds * VICTIMS.len() * STEPS.len();
    let deliveries = Signed::many(&tools, cells * PER_CELL, "matrix");
    let by_id: HashMap<String, Signed> = deliveries
        .iter()
        .map(|d| (d.delivery.clone(), d.clone()))
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let launch = Launch::in_folder(folder.path()).settings(&settings(&receiver));
    let mut stage = Stage {
        server: Some(launch.start().await),
        receiver,
        load: Load::of(Vec::new()),
        before: 0,
    };
    let mut waiting = deliveries.into_iter();
    for _ in 0..rounds {
        for step in STEPS {
            for victim in VICTIMS {
                stage.load.add(waiting.by_ref().take(PER_CELL));
                stage.before = stage.load.acknowledged_now();
                let hold = stage.reach(step).await;
                stage.kill(victim, hold).await;
                // Senders that got no answer send again.
                stage.load.start(&stage.server().base(), WRITERS).join_all().await;
                eprintln!(
                    "{victim:?} killed at {step:?}: {} acknowledged",
                    stage.load.acknowledged_now()
                );
            }
        }
    }
    stage.server().caught_up().await;
    let server = stage.server();
    eventually(
        "every delivery has its outcome",
        Duration::from_secs(120),
        || async {
            let destinations = server.data_of("/api/destinations").await;
            match destinations["destinations"][0]["open"].as_u64() {
                Some(0) => Ok(()),
                _ => Err(destinations.to_string()),
            }
        },
    )
    .await;
    server.caught_up().await;
    let report = stage.load.report();
    let sent: Vec<Sent> = dump(server.launch())
        .into_iter()
        .filter(|event| event.is_receipt())
        .map(|event| Sent::new(by_id[&event.delivery_id()].clone(), event.position()))
        .collect();
    assert_eq!(sent.len(), by_id.len(), "every delivery is in the log");
    for one in &sent {
        assert_eq!(report.positions.get(&one.delivery.delivery), Some(&one.position));
    }
    reconcile(server, &tools, &sent);
    same_answers_as_the_fold(server, &tools, &sent);
    let told = forwarded(server.launch(), &tools, &stage.receiver.taken());
    eprintln!("forwarded: {told}");
}
