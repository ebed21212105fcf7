//! Addresses that nothing is sent to.

use domain::ErrorCode;

use super::rig::{Rig, bare, delivered, dispatch, failed};
use super::server::{Answer, Server};

/// Why nothing was sent; no address is allowed.
async fn refusal(mut rig: Rig) -> String {
    rig.reactors.addresses_allowed.clear();
    let failure = failed(rig.send(&dispatch("{}")).await);
    assert_eq!(failure.code, ErrorCode::ValidationError, "{failure:?}");
    assert!(!failure.retryable);
    assert!(failure.message.contains("addresses_allowed"), "{failure:?}");
    failure.message
}

#[tokio::test]
async fn an_address_in_the_url_is_refused_in_every_spelling() {
    let server = Server::answering(&[Answer::status("200 OK")]).await;
    let port = server.address.port();
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "0.0.0.0",
        "169.254.169.254",
        "10.0.0.1",
        "[fd00::1]",
        "[fe80::1]",
        "100.64.0.1",
        "224.0.0.1",
    ] {
        refusal(Rig::at(format!("http://{host}:{port}/"))).await;
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_name_is_refused_for_the_addresses_that_it_means() {
    let server = Server::answering(&[Answer::status("200 OK")]).await;
    for address in [
        "127.0.0.1",
        "10.1.2.3",
        "169.254.169.254",
        "::1",
        "::ffff:127.0.0.1",
        "fd00::1",
    ] {
        let mut rig = Rig::at(format!("http://innocent.example:{}/", server.address.port()));
        rig.names
            .insert("innocent.example".into(), vec![address.parse().unwrap()]);
        let message = refusal(rig).await;
        assert!(message.starts_with(address), "{message}");
    }
    let mut rig = Rig::at(format!("http://localhost:{}/", server.address.port()));
    rig.names
        .insert("localhost".into(), vec!["127.0.0.1".parse().unwrap()]);
    refusal(rig).await;
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn the_connection_goes_to_the_address_that_was_checked() {
    let server = Server::answering(&[Answer::status("200 OK")]).await;
    let mut rig = Rig::at(format!("http://both.example:{}/", server.address.port()));
    let addresses = ["10.0.0.1", "127.0.0.1"].map(|address| address.parse().unwrap());
    rig.names.insert("both.example".into(), addresses.to_vec());
    delivered(rig.send(&dispatch("{}")).await);
    let host = format!("both.example:{}", server.address.port());
    assert_eq!(server.seen()[0].header("host"), Some(host.as_str()));
}

#[tokio::test]
async fn a_destination_may_have_networks_of_its_own() {
    let server = Server::answering(&[Answer::status("200 OK")]).await;
    let mut options = bare();
    options.url = Some(server.url("/"));
    options.addresses_allowed = vec!["127.0.0.1/32".parse().unwrap()];
    let mut rig = Rig::of(options);
    rig.reactors.addresses_allowed.clear();
    delivered(rig.send(&dispatch("{}")).await);
}
