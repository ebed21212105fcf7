//! From settings to destinations. Whatever is wrong with the settings is said here, at the start, with the destination, the
//! key and what to do; nothing of it is left for the first delivery.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use domain::{BodyStore, EventFilter, PublishToSubject};
use secrecy::SecretString;
use url::Url;

use super::address::AddressPolicy;
use super::deliver::{Destination, Urgency, Way};
use super::expression::Expression;
use super::headers;
use super::http::{HttpParts, HttpSender};
use super::look::Looks;
use super::resolve::{ResolveHost, SystemResolver, check_literal};
use super::route::{Route, Router};
use super::share::Share;
use super::shown::{hidden, shown};
use super::sign::Signer;
use super::subject::{SubjectSender, SubjectTemplate};
use super::tls;
use super::transform::Transform;
use crate::{DestinationOptions, DestinationPlan, Priority, ReactorOptions};

/// What destinations need of the outside.
#[derive(Clone)]
pub struct TargetPorts {
    /// Where large bodies are.
    pub bodies: Arc<dyn BodyStore>,
    /// What publishes to NATS subjects.
    pub subjects: Arc<dyn PublishToSubject>,
    /// What looks up the hosts of URLs.
    pub resolver: Arc<dyn ResolveHost>,
    /// Where the API is reached, for bodies that travel to a subject as a reference.
    pub base_url: String,
}

impl TargetPorts {
    /// Ports that look hosts up in the system.
    #[must_use]
    pub fn new(
        bodies: Arc<dyn BodyStore>,
        subjects: Arc<dyn PublishToSubject>,
        base_url: impl Into<String>,
    ) -> Self {
        Self {
            bodies,
            subjects,
            resolver: Arc::new(SystemResolver),
            base_url: base_url.into(),
        }
    }
}

/// Settings of a destination that can't work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}, {key}: {problem}")]
pub struct InvalidDestination {
    /// Where: `destination "<name>"`, or `reactors` for what is common to all.
    pub place: String,
    /// Which setting.
    pub key: &'static str,
    /// What is wrong, and what to do. Never a secret.
    pub problem: String,
}

/// Builds every destination: what the runtime needs, and who wants which delivery.
///
/// # Errors
/// When a setting can't work.
pub fn plans(
    reactors: &ReactorOptions,
    destinations: &[DestinationOptions],
    ports: &TargetPorts,
) -> Result<(Vec<DestinationPlan>, Router), InvalidDestination> {
    let mut trust = Trust::default();
    plans_with(reactors, destinations, ports, &mut trust)
}

/// The TLS configuration, read when it is first needed: it takes a moment.
#[derive(Default)]
pub(crate) struct Trust(pub(crate) Option<rustls::ClientConfig>);

impl Trust {
    fn config(&mut self) -> Result<rustls::ClientConfig, InvalidDestination> {
        if let Some(config) = &self.0 {
            return Ok(config.clone());
        }
        let read = tls::system().map_err(|error| InvalidDestination {
            place: "reactors".to_owned(),
            key: "tls",
            problem: error.to_string(),
        })?;
        Ok(self.0.insert(read).clone())
    }
}

pub(crate) fn plans_with(
    reactors: &ReactorOptions,
    destinations: &[DestinationOptions],
    ports: &TargetPorts,
    trust: &mut Trust,
) -> Result<(Vec<DestinationPlan>, Router), InvalidDestination> {
    for (key, zero) in [
        ("connect_timeout_ms", reactors.connect_timeout_ms == 0),
        ("expression_timeout_ms", reactors.expression_timeout_ms == 0),
    ] {
        if zero {
            return Err(InvalidDestination {
                place: "reactors".to_owned(),
                key,
                problem: "is 0, so nothing would ever be in time".to_owned(),
            });
        }
    }
    let (mut plans, mut routes, mut names) = (Vec::new(), Vec::new(), HashSet::new());
    let looks = Looks::new();
    for options in destinations {
        let builder = Builder {
            reactors,
            options,
            ports,
            looks: &looks,
        };
        if !names.insert(options.name.clone()) {
            return Err(builder.invalid("name", "is given twice; every destination needs its own"));
        }
        routes.push(builder.route()?);
        plans.push(builder.plan(trust)?);
    }
    Ok((plans, Router::new(routes)))
}

/// Builds one destination.
struct Builder<'a> {
    reactors: &'a ReactorOptions,
    options: &'a DestinationOptions,
    ports: &'a TargetPorts,
    looks: &'a Looks,
}

impl Builder<'_> {
    fn invalid(&self, key: &'static str, problem: impl Into<String>) -> InvalidDestination {
        InvalidDestination {
            place: format!("destination \"{}\"", self.options.name),
            key,
            problem: problem.into(),
        }
    }

    fn route(&self) -> Result<Route, InvalidDestination> {
        let filter = EventFilter::new(&self.options.events, &self.options.repositories);
        Ok(Route {
            name: self.options.name.clone(),
            tenant: self.options.tenant.clone(),
            sources: self.options.sources.clone(),
            actions: self
                .options
                .actions
                .iter()
                .map(|action| action.trim().to_owned())
                .collect(),
            filter: filter.map_err(|error| self.invalid("repositories", error.to_string()))?,
        })
    }

    fn plan(&self, trust: &mut Trust) -> Result<DestinationPlan, InvalidDestination> {
        let options = self.options;
        let concurrency = options.concurrency.unwrap_or(self.reactors.concurrency);
        let timeout_ms = options.timeout_ms.unwrap_or(self.reactors.timeout_ms);
        for (key, zero) in [
            ("concurrency", concurrency == 0),
            ("timeout_ms", timeout_ms == 0),
            ("rate_per_second", options.rate_per_second == Some(0)),
        ] {
            if zero {
                return Err(self.invalid(
                    key,
                    "is 0, so nothing would ever go out; to hold deliveries back, set paused",
                ));
            }
        }
        let target = Destination {
            name: options.name.clone(),
            way: self.way(trust)?,
            condition: self.condition()?,
            transform: self.transform()?,
            urgency: self.urgency()?,
            bodies: Arc::clone(&self.ports.bodies),
            looks: self.looks.clone(),
            timeout: Duration::from_millis(timeout_ms),
            expression_time: self.expression_time(),
            json_bytes_max: self.reactors.json_bytes_max,
            complained: AtomicBool::new(false),
        };
        let (name, tenant) = (options.name.clone(), options.tenant.clone());
        let mut plan = DestinationPlan::new(name, tenant, Arc::new(target), self.reactors);
        plan.ordering = options.ordering;
        plan.concurrency = concurrency;
        plan.rate_per_second = options.rate_per_second;
        plan.timeout_ms = timeout_ms;
        plan.paused = options.paused;
        if let Some(retries_max) = options.retries_max {
            plan.retry.retries_max = retries_max;
        }
        Ok(plan)
    }

    fn expression_time(&self) -> Duration {
        Duration::from_millis(self.reactors.expression_timeout_ms)
    }

    fn condition(&self) -> Result<Option<Arc<Expression>>, InvalidDestination> {
        let Some(text) = &self.options.condition else {
            return Ok(None);
        };
        let compiled = Expression::compile(text);
        let compiled =
            compiled.map_err(|why| self.invalid("condition", format!("is no CEL expression: {why}")))?;
        Ok(Some(Arc::new(compiled)))
    }

    fn urgency(&self) -> Result<Urgency, InvalidDestination> {
        match &self.options.priority {
            None => Ok(Urgency::Same(0)),
            Some(Priority::Number(number)) => Ok(Urgency::Same(*number)),
            Some(Priority::Expression(text)) => {
                Expression::compile(text).map(Urgency::Asked).map_err(|why| {
                    self.invalid("priority", format!("is no number and no CEL expression: {why}"))
                })
            }
        }
    }

    fn transform(&self) -> Result<Option<Transform>, InvalidDestination> {
        let Some(text) = &self.options.transform else {
            return Ok(None);
        };
        let compiled = Transform::compile(text, self.expression_time(), self.reactors.transform_bytes_max);
        compiled
            .map(Some)
            .map_err(|why| self.invalid("transform", format!("is no jq program: {why}")))
    }

    fn way(&self, trust: &mut Trust) -> Result<Way, InvalidDestination> {
        let options = self.options;
        match (&options.url, options.urls.as_slice(), &options.subject) {
            (Some(url), [], None) => self.http("url", std::slice::from_ref(url), trust),
            (None, urls @ [_, ..], None) => self.http("urls", urls, trust),
            (None, [], Some(subject)) => self.subject(subject),
            (None, [], None) => Err(self.invalid("url", "is missing; give one of url, urls and subject")),
            (_, _, Some(_)) => {
                Err(self.invalid("subject", "is given beside url or urls; give one of the three"))
            }
            (Some(_), [_, ..], None) => Err(self.invalid("urls", "is given beside url; give one of the two")),
        }
    }

    fn subject(&self, subject: &str) -> Result<Way, InvalidDestination> {
        let why_not =
            "works only with url or urls: a NATS message is not signed, and has the headers of CloudEvents";
        if self.options.secret.is_some() {
            return Err(self.invalid("secret", why_not));
        }
        if !self.options.headers.is_empty() {
            return Err(self.invalid("headers", why_not));
        }
        let template = SubjectTemplate::parse(subject);
        Ok(Way::Subject(SubjectSender {
            subjects: Arc::clone(&self.ports.subjects),
            template: template.map_err(|why| self.invalid("subject", why))?,
            base_url: self.ports.base_url.clone(),
        }))
    }

    fn http(&self, key: &'static str, urls: &[String], trust: &mut Trust) -> Result<Way, InvalidDestination> {
        let options = self.options;
        let urls: Vec<Url> = urls
            .iter()
            .map(|text| url(text).map_err(|why| self.invalid(key, why)))
            .collect::<Result<_, _>>()?;
        let allowed = [&self.reactors.addresses_allowed, &options.addresses_allowed];
        let policy = AddressPolicy::new(allowed.into_iter().flatten().copied());
        for url in &urls {
            if let Err(refused) = check_literal(url, &policy) {
                // Said at the start, but not fatal: the deliveries are kept, and can be sent once it is allowed.
                tracing::warn!(destination = %options.name, url = shown(url), %refused, "nothing can be sent there");
            }
        }
        let signer = options.secret.as_ref().map(Signer::parse).transpose();
        let signer = signer.map_err(|why| self.invalid("secret", why))?;
        let added = headers::configured(&options.headers, signer.is_some());
        let secrets: Vec<SecretString> = options
            .secret
            .iter()
            .chain(options.headers.values())
            .cloned()
            .chain(urls.iter().flat_map(hidden).map(SecretString::from))
            .collect();
        let parts = HttpParts {
            tls: trust.config()?,
            names: Arc::clone(&self.ports.resolver),
            policy,
            signer,
            added: added.map_err(|why| self.invalid("headers", why))?,
            secrets,
            connect_timeout: Duration::from_millis(self.reactors.connect_timeout_ms),
            redirects_max: self.reactors.redirects_max,
            response_bytes_max: self.reactors.response_bytes_max,
            retry_after_max: Duration::from_millis(self.reactors.retry_delay_ms_max),
        };
        let sender = HttpSender::build(parts).map_err(|error| self.invalid(key, error.to_string()))?;
        Ok(Way::Http {
            share: Share::new(urls),
            sender: Box::new(sender),
        })
    }
}

/// Reads a URL. What is wrong is said without the URL: parts of it may be secret.
fn url(text: &str) -> Result<Url, String> {
    let mut url: Url = text
        .trim()
        .parse()
        .map_err(|error| format!("is no URL: {error}; it looks like https://example.com/hooks"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!(
            "has the scheme {}; http and https are sent to",
            url.scheme()
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user name or password; put them into headers, as Authorization".to_owned());
    }
    url.set_fragment(None);
    http::Uri::try_from(url.as_str()).map_err(|error| format!("can't be asked for: {error}"))?;
    Ok(url)
}
