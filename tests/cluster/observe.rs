//! How far projecting has come, asked ten times a second of the tables themselves.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::SOON;
use crate::harness::client;

/// How often it is asked.
const EVERY: Duration = Duration::from_millis(100);
/// The position that the slowest projection has reached.
const REACHED: &str = "SELECT if(count() = 0, 0, min(reached)) FROM (SELECT max(upto) AS reached
                       FROM hooklog.projection_progress GROUP BY projection)";

/// A ClickHouse that is asked directly.
#[derive(Clone)]
pub(crate) struct Tables {
    pub(crate) url: String,
    client: reqwest::Client,
}

impl Tables {
    pub(crate) const USER: &str = "hooklog";
    pub(crate) const PASSWORD: &str = "a-password-of-tests";

    pub(crate) fn at(port: u16) -> Self {
        Self {
            url: format!("http://127.0.0.1:{port}"),
            client: client(),
        }
    }

    /// What it answers.
    pub(crate) async fn ask(&self, query: &str) -> Result<String, String> {
        let asked = self
            .client
            .post(&self.url)
            .header("X-ClickHouse-User", Self::USER)
            .header("X-ClickHouse-Key", Self::PASSWORD)
            .body(query.to_owned())
            .send();
        let answer = asked.await.map_err(|e| e.to_string())?;
        let status = answer.status();
        let text = answer.text().await.map_err(|e| e.to_string())?;
        if status.is_success() { Ok(text) } else { Err(text) }
    }

    /// How far its slowest projection has come.
    pub(crate) async fn reached(&self) -> Result<u64, String> {
        let text = self.ask(REACHED).await?;
        text.trim().parse().map_err(|_| text)
    }
}

/// Something that was done to a process or server.
#[derive(Debug, Clone)]
struct Deed {
    what: String,
    began: Instant,
    /// So long there was nothing to project, as the log was away.
    away: Duration,
}

impl Deed {
    /// How much of a time the log was away for this.
    fn away_between(&self, from: Instant, to: Instant) -> Duration {
        let end = to.min(self.began + self.away);
        end.saturating_duration_since(from.max(self.began))
    }
}

/// How projecting went after a deed.
#[derive(Debug, Clone)]
pub(crate) struct Pause {
    pub(crate) what: String,
    /// How long the slowest delivery that was acknowledged then took to be projected, but for what follows.
    pub(crate) lasted: Duration,
    /// The log was away for so long.
    pub(crate) away: Duration,
}

/// The watch over projecting.
pub(crate) struct Observer {
    reached: watch::Receiver<u64>,
    /// When projecting was seen to have reached a position that it had not before.
    steps: Arc<Mutex<Vec<(Instant, u64)>>>,
    deeds: Vec<Deed>,
    stop: CancellationToken,
}

impl Observer {
    pub(crate) fn start(tables: Tables) -> Self {
        let (told, reached) = watch::channel(0);
        let steps = Arc::<Mutex<Vec<(Instant, u64)>>>::default();
        let stop = CancellationToken::new();
        let (seen, stopped) = (Arc::clone(&steps), stop.clone());
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(EVERY);
            while stopped.run_until_cancelled(ticks.tick()).await.is_some() {
                let Ok(position) = tables.reached().await else {
                    continue;
                };
                if position > *told.borrow() {
                    seen.lock().unwrap().push((Instant::now(), position));
                    told.send_replace(position);
                }
            }
        });
        Self {
            reached,
            steps,
            deeds: Vec::new(),
            stop,
        }
    }

    /// Waits until everything up to a position is projected.
    pub(crate) async fn reaches(&self, position: u64) {
        let mut reached = self.reached.clone();
        let waited = tokio::time::timeout(SOON, reached.wait_for(|reached| *reached >= position))
            .await
            .is_ok();
        assert!(waited, "projecting never came to {position}");
    }

    /// Something is done now.
    pub(crate) fn note(&mut self, what: impl Into<String>) {
        self.deeds.push(Deed {
            what: what.into(),
            began: Instant::now(),
            away: Duration::ZERO,
        });
    }

    /// What was noted last was that the log went: it is back now.
    pub(crate) fn log_is_back(&mut self) {
        let deed = self.deeds.last_mut().expect("it was noted");
        deed.away = deed.began.elapsed();
    }

    /// For the start and for each deed, how projecting went.
    pub(crate) fn pauses(&self, acknowledged: &[(u64, Instant)]) -> Vec<Pause> {
        let steps = self.steps.lock().unwrap();
        let pause = |what: &str, away| Pause {
            what: what.to_owned(),
            lasted: Duration::ZERO,
            away,
        };
        let mut pauses = vec![pause("it starts", Duration::ZERO)];
        pauses.extend(self.deeds.iter().map(|deed| pause(&deed.what, deed.away)));
        for (position, at) in acknowledged {
            let step = steps.partition_point(|(_, reached)| reached < position);
            let Some((projected, _)) = steps.get(step) else {
                continue;
            };
            let deed = self.deeds.partition_point(|deed| deed.began <= *at);
            let pause = &mut pauses[deed];
            // Nobody could project what stood in a log that was away.
            let away: Duration = self
                .deeds
                .iter()
                .map(|deed| deed.away_between(*at, *projected))
                .sum();
            let lasted = projected.saturating_duration_since(*at).saturating_sub(away);
            pause.lasted = lasted.max(pause.lasted);
        }
        pauses
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
