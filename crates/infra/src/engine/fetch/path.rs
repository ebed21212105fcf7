//! Engines that somebody installed: looked up on PATH, used when their version fits.

use std::path::PathBuf;
use std::process::Command;

use super::super::EngineKind;
use super::{Artifact, Form};

/// The oldest versions whose features are relied on.
const NATS_MIN: (u32, u32) = (2, 10);
/// Since 24.10 a grant may name databases by a prefix.
const CLICKHOUSE_MIN: (u32, u32) = (24, 10);

/// The engine on PATH, or why there is none to use.
pub(super) fn find(engine: EngineKind) -> Result<Artifact, String> {
    let (program, least) = match engine {
        EngineKind::Nats => ("nats-server", NATS_MIN),
        EngineKind::ClickHouse => ("clickhouse", CLICKHOUSE_MIN),
    };
    let output = Command::new(program).arg("--version").output().map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            return format!("no `{program}`");
        }
        format!("`{program} --version`: {error}")
    })?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = version(&text).ok_or_else(|| format!("`{program} --version` names no version"))?;
    if number(&version) < Some(least) {
        return Err(format!(
            "`{program}` {version} is older than {}.{}",
            least.0, least.1
        ));
    }
    Ok(Artifact {
        path: PathBuf::from(program),
        form: Form::Program,
        version,
    })
}

/// The first thing that looks like a version: `nats-server: v2.10.4`, `ClickHouse local version 25.1.2.3 (…)`.
fn version(text: &str) -> Option<String> {
    let words = text.split_whitespace().map(|word| word.trim_start_matches('v'));
    words
        .into_iter()
        .find(|word| number(word).is_some())
        .map(str::to_owned)
}

fn number(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_the_programs_print() {
        assert_eq!(version("nats-server: v2.9.10\n").as_deref(), Some("2.9.10"));
        assert_eq!(
            version("ClickHouse local version 25.1.2.3 (official build).").as_deref(),
            Some("25.1.2.3")
        );
        assert_eq!(version("command not found"), None);
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(number("2.9.10") < Some(NATS_MIN));
        assert!(number("2.10.0") >= Some(NATS_MIN));
        assert!(number("25.1.2.3") >= Some(CLICKHOUSE_MIN));
    }
}
