//! The HTTP client that asks the engines, over plain loopback.

/// A client that no proxy of the environment stands between.
///
/// It makes no TLS connection, but where another part of the program has TLS compiled in, building any client needs a provider
/// of cryptography for the process. The first one set stays.
///
/// # Errors
/// When the system's settings for it can't be read.
pub fn client(timeout: Option<std::time::Duration>) -> Result<reqwest::Client, reqwest::Error> {
    let _already_set = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder().no_proxy();
    match timeout {
        Some(timeout) => builder.timeout(timeout).build(),
        None => builder.build(),
    }
}
