//! Codegen: `X-Codegen-Signature: sha256=<hex>`, the HMAC-SHA256 of the raw body. Every part of it can be set otherwise.

use super::preset::Preset;

/// The preset `codegen`.
pub(super) const CODEGEN: Preset = Preset {
    name: "codegen",
    signature: "X-Codegen-Signature",
    id: "X-Codegen-Delivery",
    event: "X-Codegen-Event",
};
