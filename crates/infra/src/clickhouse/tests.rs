//! Against a server of our own that answers what the test says; the real engine is in the end-to-end tests.

use std::sync::Mutex;
use std::time::Duration;

use domain::{Query, Rows, TableError, Tables};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::*;

/// What the server does with the next request.
enum Answer {
    Text(&'static str),
    Error(&'static str),
    Never,
}

/// A request: its line with the settings, its headers and its body as text.
type Seen = mpsc::Receiver<String>;

/// A server at an address, port 0 for any; its URL.
async fn listen(address: &str, answers: Vec<Answer>) -> (String, Seen) {
    let listener = TcpListener::bind(address).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (seen, requests) = mpsc::channel(16);
    let answers = Arc::new(Mutex::new(answers.into_iter()));
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket, seen.clone(), Arc::clone(&answers)));
        }
    });
    (url, requests)
}

/// An address where nobody listens.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

fn store(urls: &[&str], host_pause_ms: u64) -> ClickHouse {
    ClickHouse::new(ClickHouseOptions {
        url: urls.join(", "),
        host_pause_ms,
        ..ClickHouseOptions::default()
    })
    .unwrap()
}

async fn server(answers: Vec<Answer>) -> (ClickHouse, Seen) {
    let (url, requests) = listen("127.0.0.1:0", answers).await;
    let options = ClickHouseOptions {
        url,
        token: Some("tok".into()),
        query_timeout_ms: 2_000,
        ..ClickHouseOptions::default()
    };
    (ClickHouse::new(options).unwrap(), requests)
}

async fn serve(
    mut socket: TcpStream,
    seen: mpsc::Sender<String>,
    answers: Arc<Mutex<std::vec::IntoIter<Answer>>>,
) {
    while let Some(request) = read_request(&mut socket).await {
        seen.send(request).await.unwrap();
        let answer = answers.lock().unwrap().next().unwrap_or(Answer::Text(""));
        let (head, body) = match answer {
            Answer::Text(text) => ("200 OK", text),
            Answer::Error(text) => ("500 Internal Server Error", text),
            Answer::Never => std::future::pending().await,
        };
        let reply = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        socket.write_all(reply.as_bytes()).await.unwrap();
    }
}

/// Reads one request, chunked or not; `None` when the client has gone.
async fn read_request(socket: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let n = socket.read(&mut piece).await.ok().filter(|n| *n > 0)?;
        bytes.extend_from_slice(&piece[..n]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.lines().find_map(|l| {
            l.to_ascii_lowercase()
                .strip_prefix("content-length: ")
                .map(str::to_owned)
        });
        let done = match length {
            Some(length) => body.len() >= length.parse::<usize>().unwrap(),
            None => body.ends_with("0\r\n\r\n"),
        };
        if done {
            return Some(text);
        }
    }
}

fn rows(values: &[u8]) -> Rows {
    #[derive(serde::Serialize)]
    struct Row {
        a: u8,
    }
    let mut rows = Rows::default();
    values.iter().for_each(|a| rows.push(&Row { a: *a }).unwrap());
    rows
}

async fn next(requests: &mut Seen) -> String {
    let waited = tokio::time::timeout(Duration::from_secs(5), requests.recv()).await;
    waited.expect("no further request came").unwrap()
}

#[tokio::test]
async fn a_statement_carries_its_limits_its_token_and_its_parameters() {
    let (store, mut requests) = server(vec![Answer::Text("{\"n\":18446744073709551615}\n")]).await;
    let query =
        Query::new("SELECT {n:UInt64} AS n, '?' FROM t WHERE a = {a:String} AND l IN {l:Array(String)}")
            .bind("n", u64::MAX)
            .bind("a", "tab\t'quote' \\")
            .bind("l", "['x','y']");
    assert_eq!(
        store.query_json(&query).await.unwrap(),
        "{\"n\":18446744073709551615}\n"
    );
    let request = next(&mut requests).await;
    for part in [
        "database=hooklog",
        "wait_end_of_query=1",
        "async_insert=0",
        "max_execution_time=2",
        "max_memory_usage=1073741824",
        "output_format_json_quote_64bit_integers=0",
        "date_time_input_format=best_effort",
        "default_format=JSONEachRow",
        "query_id=hooklog-",
        "x-hooklog-token: tok",
        "'?' FROM t",
        "tab\\t'quote' \\\\",
        "['x','y']",
        "18446744073709551615",
    ] {
        assert!(request.contains(part), "{part} is missing in {request}");
    }
}

#[tokio::test]
async fn an_insert_sends_every_row_in_one_statement() {
    let (store, mut requests) = server(vec![]).await;
    let rows = rows(&[1, 2]);
    store.insert("events_s1_b1", rows).await.unwrap();
    let request = next(&mut requests).await;
    assert!(
        request.contains("INSERT+INTO+%60events_s1_b1%60+%28%60a%60%29+FORMAT+RowBinary"),
        "{request}"
    );
    store.insert("events_s1_b1", Rows::default()).await.unwrap();
    assert!(requests.try_recv().is_err(), "an empty insert was sent");
}

#[tokio::test]
async fn a_table_name_never_becomes_a_statement() {
    let (store, mut requests) = server(vec![]).await;
    for name in ["", "a b", "a;DROP TABLE x", "a.b.c", "a`", "ä", ".a"] {
        let refused = store.insert(name, rows(&[1])).await;
        assert!(
            matches!(refused, Err(TableError::Refused(_))),
            "{name}: {refused:?}"
        );
    }
    assert!(requests.try_recv().is_err(), "something was sent");
}

#[tokio::test]
async fn a_missing_database_is_created_and_the_statement_tried_again() {
    let gone = "Code: 81. DB::Exception: Database hooklog does not exist. (UNKNOWN_DATABASE)";
    let (store, mut requests) = server(vec![Answer::Error(gone), Answer::Text(""), Answer::Text("")]).await;
    store
        .execute(&Query::new("CREATE TABLE hooklog.t (a UInt8) ENGINE = Memory"))
        .await
        .unwrap();
    assert!(next(&mut requests).await.contains("CREATE TABLE"));
    let create = next(&mut requests).await;
    assert!(
        create.contains("CREATE DATABASE IF NOT EXISTS `hooklog` ENGINE = Atomic"),
        "{create}"
    );
    assert!(
        create.contains("database=system") && !create.contains("database=hooklog"),
        "{create}"
    );
    assert!(next(&mut requests).await.contains("CREATE TABLE"));
}

#[tokio::test]
async fn a_statement_given_up_is_killed() {
    let (store, mut requests) = server(vec![Answer::Never]).await;
    let query = Query::new("SELECT sleep(3)");
    let waiting = tokio::time::timeout(Duration::from_millis(200), store.query_json(&query)).await;
    assert!(waiting.is_err());
    let first = next(&mut requests).await;
    let query_id = first
        .split("query_id=")
        .nth(1)
        .unwrap()
        .split(['&', ' '])
        .next()
        .unwrap()
        .to_owned();
    let kill = next(&mut requests).await;
    assert!(kill.contains("KILL QUERY WHERE query_id ="), "{kill}");
    assert!(kill.contains(&query_id), "{kill}");
}

#[tokio::test]
async fn a_silent_server_is_unavailable_within_the_time_limit() {
    let (store, mut requests) = server(vec![Answer::Never]).await;
    let answer = store.query_json(&Query::new("SELECT 1")).await;
    assert!(matches!(answer, Err(TableError::Unavailable(_))), "{answer:?}");
    next(&mut requests).await;
    assert!(next(&mut requests).await.contains("KILL QUERY"));
}

#[tokio::test]
async fn an_absent_server_is_unavailable() {
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let store = ClickHouse::new(ClickHouseOptions {
        url: format!("http://{free}"),
        ..ClickHouseOptions::default()
    })
    .unwrap();
    let answer = store.ping().await;
    assert!(matches!(answer, Err(TableError::Unavailable(_))), "{answer:?}");
}

#[tokio::test]
async fn an_answer_over_the_limit_is_refused() {
    let (store, _requests) = server(vec![Answer::Text("{\"a\":1}\n{\"a\":2}\n")]).await;
    let mut options = (*store.options).clone();
    options.answer_bytes_max = 8;
    let answer = ClickHouse::new(options)
        .unwrap()
        .query_json(&Query::new("SELECT a FROM t"))
        .await;
    assert!(matches!(answer, Err(TableError::Refused(_))), "{answer:?}");
}

#[tokio::test]
async fn a_server_that_is_away_is_passed_over_for_a_while() {
    let address = nobody().await;
    let first = format!("http://{address}");
    let (second, mut asked_second) = listen("127.0.0.1:0", vec![]).await;
    let patient = store(&[&first, &second], 60_000);
    let hasty = store(&[&first, &second], 0);
    for store in [&patient, &hasty] {
        store.ping().await.unwrap();
        next(&mut asked_second).await;
    }
    let (_, mut asked_first) = listen(&address, vec![]).await;
    patient.ping().await.unwrap();
    next(&mut asked_second).await;
    hasty.ping().await.unwrap();
    next(&mut asked_first).await;
    assert!(asked_first.try_recv().is_err() && asked_second.try_recv().is_err());
}

#[tokio::test]
async fn a_server_that_has_lost_its_keeper_is_passed_over_and_a_refusal_is_not() {
    let lost = Answer::Error("Code: 242. DB::Exception: Table is in readonly mode");
    let wrong = Answer::Error("Code: 62. DB::Exception: Syntax error");
    let (first, mut asked_first) = listen("127.0.0.1:0", vec![lost, wrong]).await;
    let (second, mut asked_second) = listen("127.0.0.1:0", vec![]).await;
    let store = store(&[&first, &second], 0);
    store.insert("t", rows(&[1])).await.unwrap();
    next(&mut asked_first).await;
    assert!(next(&mut asked_second).await.contains("INSERT"));
    let refused = store.execute(&Query::new("SELEKT")).await;
    assert!(matches!(refused, Err(TableError::Refused(_))), "{refused:?}");
    next(&mut asked_first).await;
    assert!(
        asked_second.try_recv().is_err(),
        "another server would refuse it too"
    );
}

#[tokio::test]
async fn when_no_server_answers_it_is_unavailable() {
    let (first, second) = (nobody().await, nobody().await);
    let store = store(&[&format!("http://{first}"), &format!("http://{second}")], 1000);
    let answer = store.ping().await;
    assert!(matches!(answer, Err(TableError::Unavailable(_))), "{answer:?}");
}

#[tokio::test]
async fn in_a_cluster_an_insert_waits_for_its_copies_and_the_database_is_made_everywhere() {
    let missing = Answer::Error("Code: 81. DB::Exception: Database hooklog does not exist");
    let (url, mut requests) = listen("127.0.0.1:0", vec![missing]).await;
    let store = ClickHouse::new(ClickHouseOptions {
        url,
        cluster: Some("main".into()),
        ..ClickHouseOptions::default()
    })
    .unwrap();
    assert_eq!(store.cluster(), Some("main"));
    store.execute(&Query::new("SELECT 1")).await.unwrap();
    let request = next(&mut requests).await;
    for part in [
        "insert_quorum=auto",
        "distributed_foreground_insert=1",
        "distributed_product_mode=global",
        "distributed_ddl_output_mode=throw_only_active",
    ] {
        assert!(request.contains(part), "{part} is missing in {request}");
    }
    let create = next(&mut requests).await;
    assert!(
        create.contains("`hooklog` ON CLUSTER `main` ENGINE = Atomic"),
        "{create}"
    );
}

#[test]
fn settings_that_contradict_each_other_are_told() {
    let check = |change: fn(&mut ClickHouseOptions), part: &str| {
        let mut options = ClickHouseOptions::default();
        change(&mut options);
        let told = options.check().unwrap_err();
        assert!(told.contains(part), "{told}");
    };
    check(|o| o.tls_ca_file = Some("ca.crt".into()), "https://");
    check(|o| o.insert_quorum = "most".into(), "insert_quorum");
    check(|o| o.cluster = Some(String::new()), "name of a cluster");
    check(
        |o| (o.url, o.cluster) = (String::new(), Some("main".into())),
        "in none",
    );
    check(|o| o.tls_key_file = Some("a".into()), "https://");
    ClickHouseOptions::default().check().unwrap();
}

#[test]
fn a_password_in_a_file_is_taken_and_one_that_is_not_there_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let options = |file: &str| ClickHouseOptions {
        password_file: Some(folder.path().join(file)),
        ..ClickHouseOptions::default()
    };
    std::fs::write(folder.path().join("password"), "s3cret\n").unwrap();
    ClickHouse::new(options("password")).unwrap();
    std::fs::write(folder.path().join("empty"), "\n").unwrap();
    for file in ["empty", "nowhere"] {
        let Err(TableError::Refused(text)) = ClickHouse::new(options(file)) else {
            panic!("{file} was taken");
        };
        assert!(text.contains(file), "{text}");
    }
}
