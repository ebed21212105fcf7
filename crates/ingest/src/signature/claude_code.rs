//! Claude Code: `X-Claude-Code-Signature: sha256=<hex>`, the HMAC-SHA256 of the raw body. Every part of it can be set
//! otherwise.

use super::preset::Preset;

/// The preset `claude-code`.
pub(super) const CLAUDE_CODE: Preset = Preset {
    name: "claude-code",
    signature: "X-Claude-Code-Signature",
    id: "X-Claude-Code-Delivery",
    event: "X-Claude-Code-Event",
};
