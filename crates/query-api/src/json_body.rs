//! The JSON body of a command: it may be missing, whatever the content type says, because older clients send none. A field
//! that is not known is refused by name: a misspelt filter that is silently ignored would do far too much.

use std::marker::PhantomData;
use std::time::Duration;

use bytes::Bytes;
use poem::{Body, Request, RequestBody};
use poem_openapi::registry::{MetaMediaType, MetaRequest, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use serde::de::DeserializeOwned;

use crate::answer::JSON;
use crate::failure::{Code, Failure};
use crate::options::ApiOptions;

/// What a command takes. The default stands for a body that is missing.
pub(crate) trait Command: DeserializeOwned + Default + Type {
    /// What it is, for the document.
    const WHAT: &'static str;
    /// What is expected, for people who sent something else.
    const EXPECTED: &'static str;
    /// Whether it can't do without.
    const REQUIRED: bool = false;
}

/// A body not yet read.
pub(crate) struct JsonBody<T> {
    body: Body,
    of: PhantomData<fn() -> T>,
}

impl<'a, T: Command> ApiExtractor<'a> for JsonBody<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        Some(MetaRequest {
            description: Some(T::WHAT),
            content: vec![MetaMediaType {
                content_type: JSON,
                schema: T::schema_ref(),
            }],
            required: T::REQUIRED,
        })
    }

    async fn from_request(
        _request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<Self::ParamType>,
    ) -> poem::Result<Self> {
        Ok(Self {
            body: body.take()?,
            of: PhantomData,
        })
    }
}

impl<T: Command> JsonBody<T> {
    /// Reads it within the limits of a command, which is short.
    pub(crate) async fn read(self, options: &ApiOptions) -> Result<T, Failure> {
        let patience = Duration::from_millis(options.request_timeout_ms);
        self.read_within(options.request_bytes_max, patience).await
    }

    /// Reads it within a time: a body that never ends would hold its connection, and with it the place of a sender.
    pub(crate) async fn read_within(self, bytes_max: usize, patience: Duration) -> Result<T, Failure> {
        parse(&read(self.body, bytes_max, patience).await?)
    }
}

/// All of a body, within a size and a time.
pub(crate) async fn read(body: Body, bytes_max: usize, patience: Duration) -> Result<Bytes, Failure> {
    let reading = tokio::time::timeout(patience, body.into_bytes_limit(bytes_max)).await;
    let slow = |_| Failure::new(Code::Validation, "the body came too slowly");
    reading.map_err(slow)?.map_err(|_| {
        Failure::new(
            Code::TooLarge,
            format!("the body is cut off, or over {bytes_max} bytes"),
        )
    })
}

fn parse<T: Command>(bytes: &[u8]) -> Result<T, Failure> {
    let text = bytes.trim_ascii();
    if text.is_empty() || text == b"null" {
        return Ok(T::default());
    }
    let refuse = |why: &str| {
        let message = format!("the body can't be read: {why}; {}", T::EXPECTED);
        Failure::new(Code::Validation, message)
    };
    // The library would take a list for an object, field by field.
    if !text.starts_with(b"{") {
        return Err(refuse("it is no JSON object"));
    }
    serde_json::from_slice(text).map_err(|error| refuse(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use poem_openapi::Object;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize, Object)]
    #[serde(default, deny_unknown_fields)]
    struct Said {
        reason: Option<String>,
    }

    impl Command for Said {
        const WHAT: &'static str = "What is said";
        const EXPECTED: &'static str = "an object with reason is expected";
    }

    #[test]
    fn a_missing_body_is_the_default_and_a_wrong_one_is_named() {
        let read = |text: &str| parse::<Said>(text.as_bytes()).map_err(|f| f.to_string());
        for none in ["", " \n", "null", "{}"] {
            assert_eq!(read(none), Ok(Said::default()), "{none:?}");
        }
        let said = Said {
            reason: Some("because".into()),
        };
        assert_eq!(read(r#"{"reason":"because"}"#), Ok(said));
        for (bad, named) in [
            (r#"["because"]"#, "no JSON object"),
            ("because", "no JSON object"),
            ("{", "EOF"),
            (r#"{"raeson":"x"}"#, "`raeson`, expected `reason`"),
            (r#"{"reason":7}"#, "expected a string"),
        ] {
            let message = read(bad).unwrap_err();
            assert!(
                message.contains(named) && message.contains("an object with reason"),
                "{bad}: {message}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_is_not_waited_for_for_ever() {
        let never = futures_util::stream::pending::<std::io::Result<bytes::Bytes>>();
        let body = JsonBody::<Said> {
            body: Body::from_bytes_stream(never),
            of: PhantomData,
        };
        let began = tokio::time::Instant::now();
        let options = ApiOptions {
            request_timeout_ms: 7000,
            ..ApiOptions::default()
        };
        let failure = body.read(&options).await.unwrap_err();
        assert!(failure.message.contains("too slowly"), "{}", failure.message);
        assert_eq!(began.elapsed(), Duration::from_secs(7));
    }
}
