//! The envelope of every good answer: `{"success":true,"data":…}`.

use std::marker::PhantomData;

use bytes::Bytes;
use poem::http::{StatusCode, header};
use poem::{IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{
    MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
};
use poem_openapi::types::{ParseFromJSON, ParseResult, ToJSON, Type};
use serde::Serialize;
use serde_json::value::RawValue;

pub(crate) const JSON: &str = "application/json; charset=utf-8";

/// Data that was asked for.
#[derive(Debug)]
pub(crate) struct Answer<T>(pub(crate) T);

#[derive(Serialize)]
struct Envelope<'a, T> {
    success: bool,
    data: &'a T,
}

impl<T: Serialize> Answer<T> {
    fn body(&self) -> Bytes {
        let envelope = Envelope {
            success: true,
            data: &self.0,
        };
        // Strings, numbers, lists and maps with string keys: serialising into memory cannot fail.
        serde_json::to_vec(&envelope).unwrap_or_default().into()
    }
}

impl<T: Serialize + Send> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        good(self.body())
    }
}

fn good(body: Bytes) -> Response {
    Response::builder()
        .status(StatusCode::OK)
        .header(header::CONTENT_TYPE, JSON)
        .body(body)
}

/// An [`Answer`] as its bytes: how it is remembered, so that a memory knows what it holds and nothing is written twice.
#[derive(Debug)]
pub(crate) struct Written<T> {
    body: Bytes,
    of: PhantomData<fn() -> T>,
}

impl<T> Written<T> {
    pub(crate) const fn len(&self) -> usize {
        self.body.len()
    }
}

impl<T> Clone for Written<T> {
    fn clone(&self) -> Self {
        Self {
            body: self.body.clone(),
            of: PhantomData,
        }
    }
}

impl<T: Serialize> From<T> for Written<T> {
    fn from(data: T) -> Self {
        Self {
            body: Answer(data).body(),
            of: PhantomData,
        }
    }
}

impl<T> IntoResponse for Written<T> {
    fn into_response(self) -> Response {
        good(self.body)
    }
}

impl<T: Type> ApiResponse for Written<T> {
    fn meta() -> MetaResponses {
        Answer::<T>::meta()
    }

    fn register(registry: &mut Registry) {
        Answer::<T>::register(registry);
    }
}

fn envelope_schema(data: MetaSchemaRef) -> MetaSchemaRef {
    let mut schema = MetaSchema::new("object");
    schema.required = vec!["success", "data"];
    schema.properties = vec![("success", bool::schema_ref()), ("data", data)];
    MetaSchemaRef::Inline(Box::new(schema))
}

impl<T: Type> ApiResponse for Answer<T> {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![MetaResponse {
                description: "What was asked for",
                status: Some(200),
                status_range: None,
                content: vec![MetaMediaType {
                    content_type: JSON,
                    schema: envelope_schema(T::schema_ref()),
                }],
                headers: Vec::new(),
            }],
        }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

/// JSON that goes out as it came in, digit for digit.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub(crate) struct Json(pub(crate) Box<RawValue>);

impl Type for Json {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> std::borrow::Cow<'static, str> {
        "any".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema::ANY))
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl ToJSON for Json {
    fn to_json(&self) -> Option<serde_json::Value> {
        serde_json::from_str(self.0.get()).ok()
    }
}

impl ParseFromJSON for Json {
    fn parse_from_json(value: Option<serde_json::Value>) -> ParseResult<Self> {
        Ok(Self(serde_json::value::to_raw_value(&value.unwrap_or_default())?))
    }
}
