//! The key of secrets in the keychain of the operating system: of a macOS login, or of a Linux session that has a Secret
//! Service (GNOME Keyring, KWallet). Only in builds with the feature `keychain`, as servers have none.

use infra::secret::MasterKey;

/// The name of the entry within its service.
#[cfg(feature = "keychain")]
const ENTRY: &str = "master key";

/// Reads the key that a service's entry holds; it is made, and kept there, when there is none.
///
/// # Errors
/// When the keychain can't be used, or holds something else.
#[cfg(feature = "keychain")]
pub(crate) fn key(service: &str) -> anyhow::Result<MasterKey> {
    use anyhow::Context as _;
    use keyring::v1::{Entry, Error};
    use secrecy::zeroize::Zeroizing;

    let service = service.to_owned();
    // It waits for the session's bus, on a runtime of its own.
    let reading = std::thread::spawn(move || -> anyhow::Result<MasterKey> {
        let place = format!("the keychain entry {ENTRY:?} of {service:?} (the setting secrets.keychain)");
        let entry = Entry::new(&service, ENTRY).with_context(|| format!("{place} can't be reached"))?;
        let text = match entry.get_password() {
            Ok(text) => Zeroizing::new(text),
            Err(Error::NoEntry) => {
                let made = Zeroizing::new(hex_of(&Zeroizing::new(rand::random())));
                entry
                    .set_password(&made)
                    .with_context(|| format!("{place} can't be made"))?;
                tracing::warn!(
                    place,
                    "made a new key for the secrets of senders: what another encrypted can't be opened with it"
                );
                // Another process may have made one at the same moment: what the keychain keeps is what counts.
                let kept = entry.get_password();
                Zeroizing::new(kept.with_context(|| format!("{place} can't be read"))?)
            }
            Err(error) => return Err(anyhow::Error::from(error).context(format!("{place} can't be read"))),
        };
        Ok(MasterKey::parse(&text, &place)?)
    });
    reading
        .join()
        .unwrap_or_else(|_| Err(anyhow::anyhow!("the keychain can't be used")))
}

#[cfg(feature = "keychain")]
fn hex_of(bytes: &[u8; 32]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Says that this build has no keychain.
///
/// # Errors
/// Always.
#[cfg(not(feature = "keychain"))]
pub(crate) fn key(_service: &str) -> anyhow::Result<MasterKey> {
    anyhow::bail!(
        "setting secrets.keychain: this build knows no keychain; build it with `cargo build --release --features keychain`, or \
         name a file in secrets.key_file"
    )
}

#[cfg(all(test, not(feature = "keychain")))]
mod tests {
    #[test]
    fn a_build_without_a_keychain_says_what_to_do() {
        let error = super::key("hooklog").unwrap_err().to_string();
        assert!(
            error.contains("--features keychain") && error.contains("secrets.key_file"),
            "{error}"
        );
    }
}
