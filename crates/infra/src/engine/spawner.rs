//! The one thread that starts engines. The system kills a child when the *thread* that started it ends,
//! so this one lives as long as the engines are wanted.

use std::io;
use std::sync::mpsc;

use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// How many requests may wait: there are two engines.
const WAITING_MAX: usize = 4;

struct Request {
    command: Command,
    reply: oneshot::Sender<io::Result<Child>>,
}

/// Starts processes; when it is dropped, all of them die.
#[derive(Debug)]
pub(super) struct Spawner {
    requests: mpsc::SyncSender<Request>,
}

impl Spawner {
    /// Must be called within a tokio runtime, which watches over the processes.
    pub(super) fn start() -> io::Result<Self> {
        let (requests, inbox) = mpsc::sync_channel::<Request>(WAITING_MAX);
        let runtime = Handle::current();
        std::thread::Builder::new()
            .name("engine-spawner".to_owned())
            .spawn(move || {
                let _within = runtime.enter();
                for mut request in inbox {
                    // Whoever asked may have gone: then the process is dropped, which kills it.
                    drop(request.reply.send(request.command.spawn()));
                }
            })?;
        Ok(Self { requests })
    }

    /// Starts a process. `None` when the thread is gone.
    pub(super) async fn spawn(&self, command: Command) -> Option<io::Result<Child>> {
        let (reply, answer) = oneshot::channel();
        self.requests.try_send(Request { command, reply }).ok()?;
        answer.await.ok()
    }
}
