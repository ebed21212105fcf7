//! The read models' store under a server, asked directly: with the address and the secrets that the server wrote down.

use std::path::Path;

use serde_json::Value;

/// A ClickHouse.
#[derive(Clone)]
pub(crate) struct Store {
    client: reqwest::Client,
    url: String,
    token: (String, String),
    user: String,
    password: String,
}

impl Store {
    /// The one of the server in a data directory.
    pub(crate) fn of(data: &Path) -> Self {
        let text = std::fs::read_to_string(data.join("engines.json")).expect("the server wrote it down");
        let engines: Value = serde_json::from_str(&text).expect("json");
        let clickhouse = &engines["clickhouse"];
        let field = |name: &str| clickhouse[name].as_str().expect("a text").to_owned();
        Self {
            client: reqwest::Client::builder().no_proxy().build().expect("a client"),
            url: field("url"),
            token: (field("tokenHeader"), field("token")),
            user: field("user"),
            password: field("password"),
        }
    }

    fn request(&self, settings: &[(&str, &str)]) -> reqwest::RequestBuilder {
        self.client
            .post(&self.url)
            .query(settings)
            .header(&self.token.0, &self.token.1)
            .header("X-ClickHouse-User", &self.user)
            .header("X-ClickHouse-Key", &self.password)
    }

    /// Asks, or tells; returns what came back.
    pub(crate) async fn ask(&self, statement: &str) -> Vec<u8> {
        let request = self.request(&[("wait_end_of_query", "1"), ("max_execution_time", "600")]);
        let answer = request
            .body(statement.to_owned())
            .send()
            .await
            .expect("ClickHouse answers");
        let status = answer.status();
        let body = answer.bytes().await.expect("all of it").to_vec();
        assert!(
            status.is_success(),
            "{statement}: {}",
            String::from_utf8_lossy(&body)
        );
        body
    }

    /// The lines of an answer.
    pub(crate) async fn lines(&self, question: &str) -> Vec<String> {
        let text = String::from_utf8(self.ask(question).await).expect("text");
        text.lines().map(str::to_owned).collect()
    }

    /// A number.
    pub(crate) async fn number(&self, question: &str) -> u64 {
        self.lines(question)
            .await
            .first()
            .and_then(|line| line.parse().ok())
            .unwrap_or(0)
    }

    /// Inserts rows that are encoded already, as one block.
    pub(crate) async fn insert(&self, table: &str, format: &str, rows: bytes::Bytes) {
        let statement = format!("INSERT INTO hooklog.{table} FORMAT {format}");
        let settings = [
            ("query", statement.as_str()),
            ("wait_end_of_query", "1"),
            ("async_insert", "0"),
            ("input_format_parallel_parsing", "0"),
        ];
        let answer = self
            .request(&settings)
            .body(rows)
            .send()
            .await
            .expect("ClickHouse answers");
        let status = answer.status();
        assert!(
            status.is_success(),
            "{table}: {}",
            answer.text().await.unwrap_or_default()
        );
    }

    /// The real names of the tables of the read models, of the newest build each.
    pub(crate) async fn models(&self) -> Vec<String> {
        let question = "SELECT argMax(name, toUInt32(extract(name, '_b(\\\\d+)$'))) FROM system.tables \
                        WHERE database = 'hooklog' AND match(name, '_s\\\\d+_b\\\\d+$') GROUP BY replaceRegexpOne(name, '_b\\\\d+$', '') ORDER BY 1";
        self.lines(question).await
    }

    /// The real name of a table of a read model.
    pub(crate) async fn model(&self, name: &str) -> String {
        let models = self.models().await;
        let prefix = format!("{name}_s");
        let found = models.into_iter().find(|model| {
            model
                .strip_prefix(&prefix)
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        });
        found.expect("a table of that name")
    }
}
