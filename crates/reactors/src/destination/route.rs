//! Which destinations want a delivery, by its facts alone. Asked on the way in for every delivery, so it looks at nothing
//! but facts and allocates only for what it finds.

use domain::{DeliveryReceived, DestinationName, EventFilter, NameReactors, SourceName, TenantId};

use crate::replay::Wanting;

/// What one destination wants.
pub(crate) struct Route {
    /// The destination.
    pub(crate) name: DestinationName,
    /// Whose deliveries.
    pub(crate) tenant: TenantId,
    /// From which sources; empty wants all.
    pub(crate) sources: Vec<SourceName>,
    /// Which actions; empty wants all.
    pub(crate) actions: Vec<String>,
    /// Which events, of which repositories.
    pub(crate) filter: EventFilter,
}

impl Route {
    fn wants(&self, received: &DeliveryReceived) -> bool {
        let action = received.action.as_deref();
        self.tenant == received.tenant
            && (self.sources.is_empty() || self.sources.contains(&received.source))
            && (self.actions.is_empty() || action.is_some_and(|action| self.wants_action(action)))
            && self
                .filter
                .wants(&received.event, action, received.repository.as_deref())
    }

    fn wants_action(&self, action: &str) -> bool {
        let same = |wanted: &String| wanted.to_lowercase() == action.to_lowercase();
        self.actions.iter().any(same)
    }
}

/// The routes of all destinations.
#[derive(Default)]
pub struct Router {
    routes: Vec<Route>,
}

impl Router {
    pub(crate) fn new(routes: Vec<Route>) -> Self {
        Self { routes }
    }

    /// The destinations that want a delivery under the settings in force, in the order of the settings. Conditions are
    /// not asked: they are decided when it is sent.
    #[must_use]
    pub fn wanting(&self, received: &DeliveryReceived) -> Vec<DestinationName> {
        self.matching(received).map(|route| route.name.clone()).collect()
    }

    fn matching(&self, received: &DeliveryReceived) -> impl Iterator<Item = &Route> {
        self.routes.iter().filter(|route| route.wants(received))
    }
}

impl Wanting for Router {
    fn wanting(&self, received: &DeliveryReceived) -> Vec<DestinationName> {
        Self::wanting(self, received)
    }

    fn is_destination(&self, tenant: &TenantId, name: &DestinationName) -> bool {
        self.routes
            .iter()
            .any(|route| route.tenant == *tenant && route.name == *name)
    }
}

impl NameReactors for Router {
    fn due(&self, received: &DeliveryReceived) -> Vec<String> {
        self.matching(received)
            .map(|route| route.name.reactor())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use domain::testing::TestDelivery;

    use super::*;

    fn route(name: &str) -> Route {
        Route {
            name: name.parse().unwrap(),
            tenant: TenantId::default(),
            sources: Vec::new(),
            actions: Vec::new(),
            filter: EventFilter::default(),
        }
    }

    fn filter(events: &[&str], repositories: &[&str]) -> EventFilter {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        EventFilter::new(&owned(events), &owned(repositories)).unwrap()
    }

    fn delivery() -> DeliveryReceived {
        let mut delivery = TestDelivery::new("pull_request", "{}");
        delivery.action = Some("Opened".into());
        delivery.repository = Some("Octo-Org/Web".into());
        delivery.received()
    }

    fn wanted(route: Route) -> bool {
        !Router::new(vec![route]).wanting(&delivery()).is_empty()
    }

    #[test]
    fn each_part_of_a_filter_narrows_without_regard_to_case() {
        let sources = |list: &[&str]| list.iter().map(|name| name.parse().unwrap()).collect();
        let actions = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect();
        assert!(wanted(route("a")));
        for (wants, route) in [
            (
                true,
                Route {
                    sources: sources(&["gitlab", "github"]),
                    ..route("a")
                },
            ),
            (
                false,
                Route {
                    sources: sources(&["gitlab"]),
                    ..route("a")
                },
            ),
            (
                true,
                Route {
                    actions: actions(&["closed", "OPENED"]),
                    ..route("a")
                },
            ),
            (
                false,
                Route {
                    actions: actions(&["closed"]),
                    ..route("a")
                },
            ),
            (
                true,
                Route {
                    filter: filter(&["Pull_Request.opened"], &[]),
                    ..route("a")
                },
            ),
            (
                false,
                Route {
                    filter: filter(&["push"], &[]),
                    ..route("a")
                },
            ),
            (
                true,
                Route {
                    filter: filter(&[], &["octo-org/*"]),
                    ..route("a")
                },
            ),
            (
                false,
                Route {
                    filter: filter(&[], &["other/*"]),
                    ..route("a")
                },
            ),
            (
                false,
                Route {
                    tenant: "other".parse().unwrap(),
                    ..route("a")
                },
            ),
        ] {
            assert_eq!(wanted(route), wants);
        }
    }

    #[test]
    fn no_action_is_not_a_wanted_one() {
        let mut received = delivery();
        received.action = None;
        let route = Route {
            actions: vec!["opened".into()],
            ..route("a")
        };
        assert!(Router::new(vec![route]).wanting(&received).is_empty());
    }

    #[test]
    fn those_that_want_it_are_named_in_the_order_of_the_settings() {
        let nothing = Route {
            filter: filter(&["push"], &[]),
            ..route("b")
        };
        let router = Router::new(vec![route("c"), nothing, route("a")]);
        assert_eq!(router.due(&delivery()), ["destination:c", "destination:a"]);
        assert_eq!(
            router.wanting(&delivery()),
            ["c", "a"].map(|name| name.parse().unwrap())
        );
    }
}
