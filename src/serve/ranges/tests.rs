use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

const PATIENT: Duration = Duration::from_secs(10);

/// A provider on loopback that answers with what it is told.
struct Provider {
    address: SocketAddr,
    answer: Arc<Mutex<String>>,
}

impl Provider {
    async fn start(answer: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer = Arc::new(Mutex::new(answer));
        let shared = Arc::clone(&answer);
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let answer = shared.lock().unwrap().clone();
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") && socket.read_buf(&mut request).await.unwrap() > 0 {}
                // A client that has seen enough hangs up.
                let _gone = socket.write_all(answer.as_bytes()).await;
            }
        });
        Self { address, answer }
    }

    fn says(&self, answer: String) {
        *self.answer.lock().unwrap() = answer;
    }
}

fn ok(json: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{json}",
        json.len()
    )
}

fn fetched(url: String, folder: &Path) -> Fetched {
    let settings = RangeSettings {
        url,
        pointer: "/hooks".into(),
        answer_bytes_max: 10_000,
        networks_max: 10,
        ..RangeSettings::default()
    };
    choose_cryptography();
    Fetched::new(
        &"github".parse().unwrap(),
        settings,
        folder,
        AddressRanges::default(),
    )
    .unwrap()
}

/// As `main` does.
fn choose_cryptography() {
    let _already_set = rustls::crypto::ring::default_provider().install_default();
}

fn contains(list: &AddressRanges, address: &str) -> Option<bool> {
    list.contain(address.parse().unwrap())
}

#[tokio::test]
async fn a_list_is_fetched_and_replaced_and_kept_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (url, provider) = {
        let provider = Provider::start(ok(
            r#"{"hooks":["192.30.252.0/22","2a0a:a440::/29"],"web":["10.0.0.0/8"]}"#,
        ))
        .await;
        (format!("http://{}/meta", provider.address), provider)
    };
    let kept = folder.path().join("ranges");
    let list = fetched(url.clone(), &kept);
    assert_eq!(contains(&list.list, "192.30.253.9"), None, "nothing is known yet");
    list.refresh().await.unwrap();
    assert_eq!(contains(&list.list, "192.30.253.9"), Some(true));
    assert_eq!(contains(&list.list, "2a0a:a440::1"), Some(true));
    assert_eq!(
        contains(&list.list, "10.0.0.1"),
        Some(false),
        "another array of the answer"
    );
    provider.says(ok(r#"{"hooks":["198.51.100.7"]}"#));
    list.refresh().await.unwrap();
    assert_eq!(contains(&list.list, "192.30.253.9"), Some(false));
    assert_eq!(contains(&list.list, "198.51.100.7"), Some(true));
    let again = fetched(url, &kept);
    again.recall();
    assert_eq!(contains(&again.list, "198.51.100.7"), Some(true));
    assert_eq!(contains(&again.list, "192.30.253.9"), Some(false));
}

#[tokio::test]
async fn whatever_goes_wrong_the_last_good_list_stays() {
    let folder = tempfile::tempdir().unwrap();
    let provider = Provider::start(ok(r#"{"hooks":["192.30.252.0/22"]}"#)).await;
    let list = fetched(format!("http://{}/meta", provider.address), folder.path());
    list.refresh().await.unwrap();
    let many: Vec<String> = (0..11).map(|n| format!("\"192.0.2.{n}\"")).collect();
    for (answer, why) in [
        ("HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n".to_owned(), "500"),
        (
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n".to_owned(),
            "302",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"hooks\":[".to_owned(),
            "",
        ),
        (String::new(), ""),
        (ok("<html>"), "no JSON"),
        (ok("{}"), "no array"),
        (ok(r#"{"hooks":{}}"#), "no array"),
        (ok(r#"{"hooks":[]}"#), "empty"),
        (ok(r#"{"hooks":["192.0.2.0/24",7]}"#), "no text"),
        (ok(r#"{"hooks":["192.0.2.0/24","home"]}"#), "no network"),
        (ok(r#"{"hooks":["0.0.0.0/0"]}"#), "too large"),
        (ok(r#"{"hooks":["::/0"]}"#), "too large"),
        (ok(r#"{"hooks":["::ffff:0:0/96"]}"#), "too large"),
        (ok(&format!("{{\"hooks\":[{}]}}", many.join(","))), "more than 10"),
        (
            ok(&format!(
                "{{\"hooks\":[\"192.0.2.0/24\"],\"x\":\"{}\"}}",
                "x".repeat(10_000)
            )),
            "longer than",
        ),
    ] {
        provider.says(answer.clone());
        let error = format!("{:#}", list.refresh().await.unwrap_err());
        assert!(error.contains(why), "{answer}: {error}");
        assert_eq!(contains(&list.list, "192.30.253.9"), Some(true), "{answer}");
        assert_eq!(contains(&list.list, "192.0.2.1"), Some(false), "{answer}");
    }
    let again = fetched(format!("http://{}/meta", provider.address), folder.path());
    again.recall();
    assert_eq!(contains(&again.list, "192.30.253.9"), Some(true));
}

#[tokio::test]
async fn only_lists_that_a_source_names_are_fetched_and_given_networks_hold_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let provider = Provider::start(String::new()).await;
    let file = folder.path().join("hooklog.toml");
    let url = format!("http://{}/meta", provider.address);
    let text = format!(
        "[source.github]\naddress_ranges = [\"own\", \"linear\"]\n[address_ranges.own]\nurl = \"{url}\"\n\
         pointer = \"/hooks\"\nnetworks = [\"192.0.2.0/24\"]\nretry_interval_ms = 1\n"
    );
    std::fs::write(&file, text).unwrap();
    let settings = crate::settings::Overrides::default()
        .file(Some(file))
        .load()
        .unwrap()
        .settings;
    settings.check().unwrap();
    choose_cryptography();
    let stop = CancellationToken::new();
    let ranges = Ranges::start(&settings, folder.path(), &stop).unwrap();
    let lists = ranges.of(&["own".parse().unwrap(), "linear".parse().unwrap()]);
    assert_eq!(lists.len(), 2, "github's own list is not in use");
    assert_eq!(
        contains(&lists[0], "192.0.2.1"),
        Some(true),
        "given in the settings"
    );
    assert_eq!(contains(&lists[1], "35.231.147.226"), Some(true));
    provider.says(ok(r#"{"hooks":["198.51.100.0/24"]}"#));
    let deadline = Instant::now() + PATIENT;
    while contains(&lists[0], "198.51.100.1") != Some(true) {
        assert!(Instant::now() < deadline, "the list was never fetched again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(contains(&lists[0], "192.0.2.1"), Some(false));
    stop.cancel();
}
