//! What a source is, as options of a command.

use anyhow::bail;
use clap::Args;
use clap::builder::PossibleValuesParser;
use domain::SOURCE_SCHEMES;
use serde_json::{Map, Value};

/// What a source is, but for its secrets. What is not given stays as it is, or is the usual.
#[derive(Debug, Args)]
pub(super) struct TermsArgs {
    /// How deliveries are proved [default: the scheme of its name, else github].
    #[arg(long, value_parser = PossibleValuesParser::new(SOURCE_SCHEMES))]
    scheme: Option<String>,
    /// Whether they have to be; without proof only this machine may deliver.
    #[arg(long, value_name = "BOOL")]
    verify: Option<bool>,
    /// A path of its own beside `/api/webhooks/NAME`.
    #[arg(long)]
    path: Option<String>,
    /// Only this event, `event` or `event.action`; may be given several times.
    #[arg(long = "event", value_name = "EVENT")]
    events: Vec<String>,
    /// Only repositories that fit this glob; may be given several times.
    #[arg(long = "repository", value_name = "GLOB")]
    repositories: Vec<String>,
    /// Only from this network, such as 192.30.252.0/22; may be given several times.
    #[arg(long = "address", value_name = "CIDR")]
    addresses: Vec<String>,
    /// Whether the User-Agent has to be the sender's.
    #[arg(long, value_name = "BOOL")]
    user_agent_check: Option<bool>,
    /// How far a signed time may be from ours; 0 for no matter how far.
    #[arg(long, value_name = "MS")]
    tolerance_ms: Option<u64>,
    /// How long equal content is marked as a duplicate; 0 for never.
    #[arg(long, value_name = "MS")]
    dedup_window_ms: Option<u64>,
    /// The longest body.
    #[arg(long, value_name = "BYTES")]
    body_bytes_max: Option<u64>,
    /// Verified deliveries a minute; 0 for no limit.
    #[arg(long, value_name = "COUNT")]
    source_rate_per_minute: Option<u32>,
    /// How many of them at once.
    #[arg(long, value_name = "COUNT")]
    source_rate_burst: Option<u32>,
    /// Verified deliveries a minute of one repository; 0 for no limit.
    #[arg(long, value_name = "COUNT")]
    repository_rate_per_minute: Option<u32>,
    /// How many of them at once.
    #[arg(long, value_name = "COUNT")]
    repository_rate_burst: Option<u32>,
    /// What the proof looks like, such as header=X-Signature; the keys of `[source.NAME.proof]`.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    proof: Vec<(String, String)>,
    /// Where a fact stands, such as id_header=X-Id; the keys of `[source.NAME.facts]`.
    #[arg(long = "fact", value_name = "KEY=VALUE", value_parser = pair)]
    facts: Vec<(String, String)>,
}

fn pair(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text.split_once('=').ok_or("KEY=VALUE is expected")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// What the options are called, and what the API calls it.
const NAMES: [(&str, &str); 16] = [
    ("scheme", "scheme"),
    ("verify", "verify"),
    ("path", "path"),
    ("event", "events"),
    ("repository", "repositories"),
    ("address", "addresses"),
    ("user-agent-check", "userAgentCheck"),
    ("tolerance-ms", "toleranceMs"),
    ("dedup-window-ms", "dedupWindowMs"),
    ("body-bytes-max", "bodyBytesMax"),
    ("source-rate-per-minute", "sourceRatePerMinute"),
    ("source-rate-burst", "sourceRateBurst"),
    ("repository-rate-per-minute", "repositoryRatePerMinute"),
    ("repository-rate-burst", "repositoryRateBurst"),
    ("proof", "proof"),
    ("fact", "facts"),
];

/// What can be made the usual again.
pub(super) fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(NAMES.map(|(option, _)| option))
}

/// The members of a change that makes these the usual again, beside others that it sets.
pub(super) fn resets(options: &[String], set: &Map<String, Value>) -> anyhow::Result<Map<String, Value>> {
    let mut resets = Map::new();
    for (option, name) in NAMES
        .iter()
        .filter(|(option, _)| options.iter().any(|o| o == option))
    {
        if set.contains_key(*name) {
            bail!("--{option} is set and reset at once");
        }
        resets.insert((*name).to_owned(), Value::Null);
    }
    Ok(resets)
}

impl TermsArgs {
    /// What was given, as the API takes it.
    pub(super) fn fields(&self) -> Map<String, Value> {
        let list = |all: &[String]| (!all.is_empty()).then(|| Value::from(all.to_vec()));
        let object = |all: &[(String, String)]| {
            let members = all
                .iter()
                .map(|(key, value)| (key.clone(), value.as_str().into()));
            (!all.is_empty()).then(|| Value::Object(members.collect()))
        };
        let all: [Option<Value>; NAMES.len()] = [
            self.scheme.clone().map(Value::from),
            self.verify.map(Value::from),
            self.path.clone().map(Value::from),
            list(&self.events),
            list(&self.repositories),
            list(&self.addresses),
            self.user_agent_check.map(Value::from),
            self.tolerance_ms.map(Value::from),
            self.dedup_window_ms.map(Value::from),
            self.body_bytes_max.map(Value::from),
            self.source_rate_per_minute.map(Value::from),
            self.source_rate_burst.map(Value::from),
            self.repository_rate_per_minute.map(Value::from),
            self.repository_rate_burst.map(Value::from),
            object(&self.proof),
            object(&self.facts),
        ];
        let named = NAMES.iter().zip(all);
        named
            .filter_map(|((_, name), value)| Some(((*name).to_owned(), value?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        terms: TermsArgs,
        #[arg(long, value_parser = names())]
        reset: Vec<String>,
    }

    fn line(arguments: &[&str]) -> Result<Line, clap::Error> {
        Line::try_parse_from(std::iter::once(&"x").chain(arguments))
    }

    #[test]
    fn each_option_is_what_the_api_calls_it() {
        let all = line(&[
            "--scheme=hmac",
            "--verify=false",
            "--path=/pay",
            "--event=push",
            "--event=issues.opened",
            "--repository=a/*",
            "--address=10.0.0.0/8",
            "--user-agent-check=true",
            "--tolerance-ms=1",
            "--dedup-window-ms=2",
            "--body-bytes-max=3",
            "--source-rate-per-minute=4",
            "--source-rate-burst=5",
            "--repository-rate-per-minute=6",
            "--repository-rate-burst=7",
            "--proof=header=X-Sig",
            "--proof=prefix=v0=",
            "--fact=id_header=X-Id",
        ]);
        let expected = json!({
            "scheme": "hmac", "verify": false, "path": "/pay", "events": ["push", "issues.opened"],
            "repositories": ["a/*"], "addresses": ["10.0.0.0/8"], "userAgentCheck": true, "toleranceMs": 1,
            "dedupWindowMs": 2, "bodyBytesMax": 3, "sourceRatePerMinute": 4, "sourceRateBurst": 5,
            "repositoryRatePerMinute": 6, "repositoryRateBurst": 7,
            "proof": {"header": "X-Sig", "prefix": "v0="}, "facts": {"id_header": "X-Id"},
        });
        assert_eq!(Value::from(all.unwrap().terms.fields()), expected);
        assert_eq!(expected.as_object().map(Map::len), Some(NAMES.len()));
        let terms = serde_json::from_value::<domain::SourceTerms>(expected).unwrap();
        assert_eq!(terms.repository_rate_burst, 7);
    }

    #[test]
    fn what_is_reset_is_null_and_what_nobody_knows_is_wrong_usage() {
        let some = line(&["--reset=event", "--reset=fact", "--verify=true"]).unwrap();
        let set = some.terms.fields();
        let resets = resets(&some.reset, &set).unwrap();
        assert_eq!(Value::from(resets), json!({"events": null, "facts": null}));
        assert!(super::resets(&["verify".to_owned()], &set).is_err());
        assert!(line(&["--reset=everything"]).is_err());
        assert!(line(&["--proof=header", "--verify=true"]).is_err());
        assert!(line(&["--scheme=gitbub"]).is_err());
    }
}
