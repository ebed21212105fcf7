//! Where the next page starts: a position of one log, seen by one tenant. Opaque to clients, checked when it comes back.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::{LogId, TenantId};
use sha2::{Digest, Sha256};

use crate::failure::Failure;

/// Version of the cursor's form and of the lists it pages through.
const VERSION: &str = "2";
const CHECK_BYTES: usize = 4;
const CURSOR_BYTES_MAX: usize = 512;

/// A place in a list that runs backwards in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// Which list it belongs to.
    pub(crate) list: &'static str,
    /// The log whose positions it means.
    pub(crate) log_id: LogId,
    /// Whose list it is.
    pub(crate) tenant: TenantId,
    /// The key of the last row shown.
    pub(crate) after: After,
}

/// The key of a row: numbers, the most significant first, and the host whose numbers they are, in lists that have several.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct After {
    pub(crate) numbers: (u64, u64),
    pub(crate) host: String,
}

impl Cursor {
    /// The text form.
    pub(crate) fn encode(&self) -> String {
        let text = format!(
            "{VERSION}|{}|{}|{}|{}|{}|{}",
            self.list, self.log_id, self.tenant, self.after.numbers.0, self.after.numbers.1, self.after.host
        );
        let mut bytes = check(text.as_bytes()).to_vec();
        bytes.extend_from_slice(text.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a cursor that a client sent back.
    ///
    /// # Errors
    /// When it is not one of ours, of another list, or of another log than the one served.
    pub(crate) fn decode(
        text: &str,
        list: &'static str,
        log_id: LogId,
        tenant: &TenantId,
    ) -> Result<Self, Failure> {
        let refuse = |why: &str| Failure::parameter("cursor", why);
        let unknown = || refuse("the value of `nextCursor` of an earlier page is expected");
        if text.len() > CURSOR_BYTES_MAX {
            return Err(unknown());
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| unknown())?;
        let (sum, text) = bytes.split_at_checked(CHECK_BYTES).ok_or_else(unknown)?;
        if check(text) != sum {
            return Err(unknown());
        }
        let text = std::str::from_utf8(text).map_err(|_| unknown())?;
        let parts: Vec<&str> = text.split('|').collect();
        let [version, of_list, of_log, of_tenant, first, second, host] = parts[..] else {
            return Err(unknown());
        };
        if version != VERSION || of_list != list || of_tenant != tenant.as_str() {
            return Err(unknown());
        }
        if of_log.parse() != Ok(log_id) {
            return Err(refuse(
                "it is of another log than the one served here; start again without a cursor",
            ));
        }
        let (Ok(first), Ok(second)) = (first.parse(), second.parse()) else {
            return Err(unknown());
        };
        Ok(Self {
            list,
            log_id,
            tenant: tenant.clone(),
            after: After {
                numbers: (first, second),
                host: host.to_owned(),
            },
        })
    }
}

/// Finds typing errors and cut-off cursors. It is no secret: a cursor opens nothing that its bearer may not read.
fn check(text: &[u8]) -> [u8; CHECK_BYTES] {
    let digest = Sha256::digest(text);
    digest.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(n: u128) -> LogId {
        LogId::new(uuid::Uuid::from_u128(n))
    }

    fn cursor() -> Cursor {
        Cursor {
            list: "events",
            log_id: log(7),
            tenant: TenantId::default(),
            after: After {
                numbers: (41, u64::MAX),
                host: "gitlab.example.com:8443".into(),
            },
        }
    }

    fn decode(text: &str, list: &'static str, n: u128) -> Result<Cursor, String> {
        Cursor::decode(text, list, log(n), &TenantId::default()).map_err(|f| f.to_string())
    }

    #[test]
    fn a_cursor_survives_its_text_form() {
        assert_eq!(decode(&cursor().encode(), "events", 7), Ok(cursor()));
    }

    #[test]
    fn a_cursor_of_another_log_list_or_tenant_is_refused() {
        let text = cursor().encode();
        assert!(decode(&text, "events", 8).unwrap_err().contains("another log"));
        assert!(decode(&text, "jobs", 7).is_err());
        assert!(Cursor::decode(&text, "events", log(7), &"other".parse().unwrap()).is_err());
    }

    #[test]
    fn a_cursor_changed_anywhere_is_refused() {
        let text = cursor().encode();
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(decode(&changed, "events", 7).is_err(), "{changed}");
        }
        for bad in ["", "x", "====", &text[..text.len() - 4], &"A".repeat(2000)] {
            assert!(decode(bad, "events", 7).is_err(), "{bad}");
        }
    }
}
