//! The event types that senders are known to send.

use domain::catalogue::{self, Category};
use poem_openapi::OpenApi;

use super::Group;
use crate::answer::Answer;
use crate::failure::Failure;
use crate::shape::delivery::{KnownSource, KnownType, KnownTypes};

pub(crate) struct Types;

#[OpenApi(prefix_path = "/api/webhooks", tag = "Group::Deliveries")]
impl Types {
    /// List the event types that senders are known to send.
    ///
    /// The lists are open: an unknown type is accepted and kept like any other.
    #[oai(path = "/events/types", method = "get", operation_id = "listEventTypes")]
    async fn types(&self) -> Result<Answer<KnownTypes>, Failure> {
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        let sources = catalogue::SCHEMES.iter().map(|scheme| KnownSource {
            source: (*scheme).to_owned(),
            types: catalogue::events(scheme)
                .iter()
                .map(|event| KnownType {
                    event: event.name.to_owned(),
                    category: event.category.as_str().to_owned(),
                    actions: texts(event.actions),
                })
                .collect(),
        });
        Ok(Answer(KnownTypes {
            categories: Category::ALL.iter().map(|c| c.as_str().to_owned()).collect(),
            sources: sources.collect(),
        }))
    }
}
