//! Secrets on the command line: from a file, from standard input or from a variable, never from an argument, which other users
//! of the machine could see in the list of processes. Or made here, in the form that its scheme wants.

use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ingest::SchemeKind;
use rand::TryRng as _;
use rand::rngs::SysRng;
use secrecy::SecretString;

/// Where scripts may put a new secret.
const VARIABLE: &str = "HOOKLOG_NEW_SECRET";
/// Far more than any secret has.
const BYTES_MAX: u64 = 64 * 1024;

/// Reads a secret from a file, or from standard input for `-`, without the line break at its end.
pub(super) fn read(file: &Path) -> anyhow::Result<SecretString> {
    let mut text = String::new();
    if file == Path::new("-") {
        let read = io::stdin().take(BYTES_MAX).read_to_string(&mut text);
        read.context("the secret can't be read from standard input")?;
    } else {
        let opened = std::fs::File::open(file).map(|file| file.take(BYTES_MAX));
        let read = opened.and_then(|mut file| file.read_to_string(&mut text));
        read.with_context(|| format!("{} can't be read", file.display()))?;
    }
    let secret = text.trim_end_matches(['\r', '\n']);
    ensure!(!secret.is_empty(), "there is no secret in {}", file.display());
    Ok(secret.into())
}

/// The secret of the variable, if there is one.
pub(super) fn of_variable() -> anyhow::Result<Option<SecretString>> {
    #[allow(
        clippy::disallowed_methods,
        reason = "it is no setting: it belongs to one command, and no argument may stand for it"
    )]
    match std::env::var(VARIABLE) {
        Ok(secret) if secret.is_empty() => bail!("{VARIABLE} is empty"),
        Ok(secret) => Ok(Some(secret.into())),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => bail!("{VARIABLE} is no text"),
    }
}

/// Makes a secret of 32 random bytes, written as a source of this scheme and with this `secret_encoding` reads it.
pub(super) fn made(scheme: &str, secret_encoding: Option<&str>) -> anyhow::Result<SecretString> {
    let mut bytes = [0; 32];
    let filled = SysRng.try_fill_bytes(&mut bytes);
    filled.context("the system gives no random bytes")?;
    Ok(written(&bytes, scheme, secret_encoding).into())
}

fn written(bytes: &[u8; 32], scheme: &str, secret_encoding: Option<&str>) -> String {
    match SchemeKind::named(scheme) {
        Some(SchemeKind::Standard) => format!("whsec_{}", STANDARD.encode(bytes)),
        Some(SchemeKind::Hmac | SchemeKind::Codegen | SchemeKind::ClaudeCode)
            if secret_encoding == Some("base64") =>
        {
            STANDARD.encode(bytes)
        }
        // Of the others, and of schemes that only a newer server knows, the text itself is the key.
        Some(
            SchemeKind::Github
            | SchemeKind::Gitlab
            | SchemeKind::Linear
            | SchemeKind::Hmac
            | SchemeKind::Token
            | SchemeKind::Codegen
            | SchemeKind::ClaudeCode,
        )
        | None => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

#[cfg(test)]
mod tests {
    use domain::{SOURCE_SCHEMES, SourceName};
    use ingest::{IngestOptions, ProofOptions, Secret, SecretEncoding, SourceOptions};
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn the_domain_and_receiving_know_the_same_schemes() {
        assert_eq!(SOURCE_SCHEMES, SchemeKind::ALL.map(SchemeKind::as_str));
    }

    #[test]
    fn a_secret_that_was_made_is_one_that_receiving_takes() {
        for scheme in SOURCE_SCHEMES {
            let encodings = [
                (None, None),
                (Some("text"), Some(SecretEncoding::Text)),
                (Some("hex"), Some(SecretEncoding::Hex)),
                (Some("base64"), Some(SecretEncoding::Base64)),
            ];
            let kind = SchemeKind::named(scheme).expect(scheme);
            let open = matches!(
                kind,
                SchemeKind::Hmac | SchemeKind::Codegen | SchemeKind::ClaudeCode
            );
            for (word, encoding) in encodings.into_iter().take(if open { 4 } else { 1 }) {
                let secret = made(scheme, word).unwrap();
                let name: SourceName = "made".parse().unwrap();
                let proof = ProofOptions {
                    header: matches!(kind, SchemeKind::Hmac).then(|| "X-Signature".into()),
                    secret_encoding: encoding,
                    ..ProofOptions::default()
                };
                let options = SourceOptions {
                    scheme: kind,
                    proof,
                    ..SourceOptions::new(name, vec![Secret::new("made", secret.expose_secret())])
                };
                let checked = options.check(&IngestOptions::default());
                assert!(checked.is_ok(), "{scheme} {word:?}: {checked:?}");
                assert!(secret.expose_secret().len() >= 44, "{scheme}: too short");
            }
        }
    }

    #[test]
    fn two_secrets_are_two_and_each_scheme_has_its_form() {
        let of = |scheme, encoding| written(&[0xab; 32], scheme, encoding);
        assert_eq!(of("github", None), "ab".repeat(32));
        assert_eq!(of("github", Some("base64")), "ab".repeat(32));
        assert!(of("standard", None).starts_with("whsec_q6ur"));
        assert!(of("hmac", Some("base64")).starts_with("q6ur"));
        assert_eq!(of("of-a-newer-server", None), "ab".repeat(32));
        let (one, other) = (made("github", None).unwrap(), made("github", None).unwrap());
        assert_ne!(one.expose_secret(), other.expose_secret());
    }

    #[test]
    fn the_line_break_at_its_end_is_no_part_of_a_secret() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        for (written, expected) in [("a b\n", "a b"), ("a\r\n", "a"), ("a", "a"), (" a \n", " a ")] {
            std::fs::write(&file, written).unwrap();
            assert_eq!(read(&file).unwrap().expose_secret(), expected);
        }
        std::fs::write(&file, "\n").unwrap();
        assert!(read(&file).unwrap_err().to_string().contains("no secret in"));
        assert!(
            read(&folder.path().join("none"))
                .unwrap_err()
                .to_string()
                .contains("can't be read")
        );
    }
}
