//! What an engine writes to its standard error: kept by the last lines for error messages, and passed on
//! to the log at debug level, because it may repeat parts of statements.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tracing::debug;

use super::EngineKind;

const LINES_MAX: usize = 20;
const LINE_BYTES_MAX: usize = 1024;

/// The last lines of an engine.
#[derive(Debug, Clone, Default)]
pub(super) struct Output {
    lines: Arc<Mutex<VecDeque<String>>>,
}

impl Output {
    /// The last lines, joined; a notice if there is none.
    pub(super) fn tail(&self) -> String {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.is_empty() {
            return "it wrote nothing".to_owned();
        }
        lines.iter().map(String::as_str).collect::<Vec<_>>().join(" | ")
    }

    /// Reads until the end.
    pub(super) async fn follow(self, engine: EngineKind, mut from: impl AsyncRead + Unpin) {
        let mut line = Vec::new();
        let mut chunk = [0_u8; 4096];
        while let Ok(length) = from.read(&mut chunk).await {
            if length == 0 {
                break;
            }
            for &byte in chunk.iter().take(length) {
                if byte == b'\n' {
                    self.push(engine, &std::mem::take(&mut line));
                } else if line.len() < LINE_BYTES_MAX {
                    line.push(byte);
                }
            }
        }
        self.push(engine, &line);
    }

    fn push(&self, engine: EngineKind, line: &[u8]) {
        let line = String::from_utf8_lossy(line).trim().to_owned();
        if line.is_empty() {
            return;
        }
        debug!(engine = engine.name(), line, "engine output");
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_lines_are_kept_and_long_ones_cut() {
        let output = Output::default();
        assert_eq!(output.tail(), "it wrote nothing");
        let text: String = (0..50).map(|i| format!("line {i}\n")).collect::<String>() + &"x".repeat(5000);
        output.clone().follow(EngineKind::Nats, text.as_bytes()).await;
        let tail = output.tail();
        assert!(tail.starts_with("line 31 | line 32"), "{tail}");
        assert!(tail.ends_with(&"x".repeat(LINE_BYTES_MAX)), "{tail}");
        assert_eq!(tail.matches(" | ").count(), LINES_MAX - 1);
    }
}
