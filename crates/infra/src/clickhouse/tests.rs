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

async fn server(answers: Vec<Answer>) -> (ClickHouse, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (seen, requests) = mpsc::channel(16);
    let answers = Arc::new(Mutex::new(answers.into_iter()));
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket, seen.clone(), Arc::clone(&answers)));
        }
    });
    let options = ClickHouseOptions {
        url,
        token: Some("tok".into()),
        query_timeout_ms: 2_000,
        ..ClickHouseOptions::default()
    };
    (ClickHouse::new(options), requests)
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
    let mut rows = Rows::default();
    rows.push(&serde_json::json!({"a": 1})).unwrap();
    rows.push(&serde_json::json!({"a": 2})).unwrap();
    store.insert("events_s1_b1", rows).await.unwrap();
    let request = next(&mut requests).await;
    assert!(
        request.contains("INSERT+INTO+%60events_s1_b1%60+FORMAT+JSONEachRow"),
        "{request}"
    );
    store.insert("events_s1_b1", Rows::default()).await.unwrap();
    assert!(requests.try_recv().is_err(), "an empty insert was sent");
}

#[tokio::test]
async fn a_table_name_never_becomes_a_statement() {
    let (store, mut requests) = server(vec![]).await;
    for name in ["", "a b", "a;DROP TABLE x", "a.b.c", "a`", "ä", ".a"] {
        let mut rows = Rows::default();
        rows.push(&1).unwrap();
        let refused = store.insert(name, rows).await;
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
    });
    let answer = store.ping().await;
    assert!(matches!(answer, Err(TableError::Unavailable(_))), "{answer:?}");
}

#[tokio::test]
async fn an_answer_over_the_limit_is_refused() {
    let (store, _requests) = server(vec![Answer::Text("{\"a\":1}\n{\"a\":2}\n")]).await;
    let mut options = (*store.options).clone();
    options.answer_bytes_max = 8;
    let answer = ClickHouse::new(options)
        .query_json(&Query::new("SELECT a FROM t"))
        .await;
    assert!(matches!(answer, Err(TableError::Refused(_))), "{answer:?}");
}
