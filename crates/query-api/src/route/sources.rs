//! Sources: lists them, adds, changes, pauses and removes them, and says which secrets verify. The secrets come from the
//! caller and are in no answer.

use std::sync::Arc;

use domain::{AddSourceSecret, SecretId, SourceKnown, SourceName, SourceRef, TenantId};
use poem::Request;
use poem::web::Data;
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};

use super::Group;
use super::keys::tenant;
use crate::access::Caller;
use crate::access::audit::AuditNote;
use crate::answer::Answer;
use crate::failure::Failure;
use crate::json_body::{Command, JsonBody};
use crate::order::source::{AddSourceRequest, ChangeSourceRequest, RotateSecretRequest, SecretRequest};
use crate::order::{self, ReasonRequest};
use crate::param::{Text, spelt};
use crate::shape::source::{Resealed, SourceGone, SourceList, SourceShape};
use crate::state::State;

pub(crate) struct SourcesApi {
    pub(crate) state: Arc<State>,
}

// Any name may follow `/api/sources/`, so what is about the secrets of all sources stands elsewhere.
#[OpenApi(prefix_path = "/api", tag = "Group::Sources")]
impl SourcesApi {
    /// List the sources: who delivers, how they prove it, whether they are paused; never a secret.
    ///
    /// A key of the tenant `default` sees those of all tenants, any other those of its own.
    #[oai(path = "/sources", method = "get", operation_id = "listSources")]
    async fn list(&self, caller: Data<&Caller>) -> Result<Answer<SourceList>, Failure> {
        let known = self.state.sources.list(&caller.tenant).await?;
        Ok(Answer(SourceList {
            sources: known.into_iter().map(|known| self.shape(known)).collect(),
        }))
    }

    /// Add a source. Deliveries to its URL are taken from this answer on.
    ///
    /// The secret is given by the caller, and is in no answer: it is kept encrypted.
    #[oai(path = "/sources", method = "post", operation_id = "addSource")]
    async fn add(
        &self,
        caller: Data<&Caller>,
        note: Data<&AuditNote>,
        body: JsonBody<AddSourceRequest>,
    ) -> Result<Answer<SourceShape>, Failure> {
        let asked = self.read(body).await?;
        let name = asked.name()?;
        note.set(name.as_str());
        let source = named(&caller, name);
        let tenant = asked.tenant.as_deref().map(|text| tenant(Some(text), &caller));
        let order = asked.order(source, tenant.transpose()?)?;
        Ok(Answer(self.shape(self.state.sources.add(order).await?)))
    }

    /// Show a source; never its secrets.
    #[oai(path = "/sources/:name", method = "get", operation_id = "getSource")]
    async fn one(
        &self,
        caller: Data<&Caller>,
        /// Its name.
        name: Path<String>,
    ) -> Result<Answer<SourceShape>, Failure> {
        let (_, known) = self.known(&caller, &name).await?;
        Ok(Answer(self.shape(known)))
    }

    /// Change what a source is, but for its secrets.
    ///
    /// What is left out stays as it is, null makes it the usual again. A change by somebody else in the meantime refuses it.
    #[oai(path = "/sources/:name", method = "patch", operation_id = "changeSource")]
    async fn change(
        &self,
        caller: Data<&Caller>,
        /// Its name.
        name: Path<String>,
        body: JsonBody<ChangeSourceRequest>,
    ) -> Result<Answer<SourceShape>, Failure> {
        let (source, known) = self.known(&caller, &name).await?;
        let order = self.read(body).await?.order(source, known)?;
        Ok(Answer(self.shape(self.state.sources.change(order).await?)))
    }

    /// Remove a source: from then on its URL is not known. Its deliveries stay, and its name stays with its tenant.
    #[oai(path = "/sources/:name", method = "delete", operation_id = "removeSource")]
    async fn remove(
        &self,
        request: &Request,
        caller: Data<&Caller>,
        /// Its name.
        name: Path<String>,
        /// Why, for the log.
        reason: Query<Option<Text>>,
    ) -> Result<Answer<SourceGone>, Failure> {
        spelt(request, &["reason"])?;
        let reason = order::reason(reason.0.map(|text| text.0))?;
        let source = source(&caller, &name)?;
        self.state.sources.remove(&source, reason).await?;
        Ok(Answer(SourceGone {
            name: source.name.to_string(),
            removed: true,
        }))
    }

    /// Take no deliveries of a source: senders are asked to come back (503). GitHub does not.
    ///
    /// The body may be left out.
    #[oai(path = "/sources/:name/pause", method = "post", operation_id = "pauseSource")]
    async fn pause(
        &self,
        caller: Data<&Caller>,
        /// Its name.
        name: Path<String>,
        body: JsonBody<ReasonRequest>,
    ) -> Result<Answer<SourceShape>, Failure> {
        let reason = order::reason(self.read(body).await?.reason)?;
        let source = source(&caller, &name)?;
        let paused = self.state.sources.pause(&source, reason).await?;
        Ok(Answer(self.shape(paused)))
    }

    /// Take deliveries of a source again.
    #[oai(
        path = "/sources/:name/resume",
        method = "post",
        operation_id = "resumeSource"
    )]
    async fn resume(
        &self,
        caller: Data<&Caller>,
        /// Its name.
        name: Path<String>,
    ) -> Result<Answer<SourceShape>, Failure> {
        let source = source(&caller, &name)?;
        Ok(Answer(self.shape(self.state.sources.resume(&source).await?)))
    }

    /// Have one more secret verify, of a second sender at the same URL for example.
    #[oai(
        path = "/sources/:name/secrets",
        method = "post",
        operation_id = "addSourceSecret"
    )]
    async fn add_secret(
        &self,
        caller: Data<&Caller>,
        /// The name of the source.
        name: Path<String>,
        body: JsonBody<SecretRequest>,
    ) -> Result<Answer<SourceShape>, Failure> {
        let (source, known) = self.known(&caller, &name).await?;
        let asked = self.read(body).await?;
        let tenant = whose(asked.tenant.as_deref(), &caller, &known)?;
        let secret = asked.secret(Some(tenant))?;
        let order = AddSourceSecret { source, secret };
        Ok(Answer(self.shape(self.state.sources.add_secret(order).await?)))
    }

    /// Have a secret verify nothing any more, at once. The last one that verifies stays.
    ///
    /// Revoking it again changes nothing.
    #[oai(
        path = "/sources/:name/secrets/:id",
        method = "delete",
        operation_id = "revokeSourceSecret"
    )]
    async fn revoke_secret(
        &self,
        caller: Data<&Caller>,
        note: Data<&AuditNote>,
        /// The name of the source.
        name: Path<String>,
        /// The id of the secret, never the secret itself.
        id: Path<String>,
    ) -> Result<Answer<SourceShape>, Failure> {
        let source = source(&caller, &name)?;
        let unknown = || Failure::not_found("the source has no secret of this id");
        let id: SecretId = id.0.parse().map_err(|_| unknown())?;
        let left = self.state.sources.revoke_secret(&source, &id).await?;
        note.set(format!("{}/{id}", source.name));
        Ok(Answer(self.shape(left)))
    }

    /// Put a new secret into the place of those of its tenant and hook, which verify beside it for a while.
    #[oai(
        path = "/sources/:name/rotate",
        method = "post",
        operation_id = "rotateSourceSecret"
    )]
    async fn rotate(
        &self,
        caller: Data<&Caller>,
        /// The name of the source.
        name: Path<String>,
        body: JsonBody<RotateSecretRequest>,
    ) -> Result<Answer<SourceShape>, Failure> {
        let (source, known) = self.known(&caller, &name).await?;
        let asked = self.read(body).await?;
        let tenant = whose(asked.new.tenant.as_deref(), &caller, &known)?;
        let order = asked.order(source, tenant)?;
        Ok(Answer(self.shape(self.state.sources.rotate(order).await?)))
    }

    /// Encrypt the secrets of all sources with the newest key, after that key was replaced. They stay the same secrets.
    #[oai(path = "/secrets/reseal", method = "post", operation_id = "resealSecrets")]
    async fn reseal(&self, caller: Data<&Caller>) -> Result<Answer<Resealed>, Failure> {
        let by = caller.name.clone();
        let resealed = self.state.sources.reseal(&caller.tenant, by).await?;
        Ok(Answer(Resealed { resealed }))
    }
}

impl SourcesApi {
    fn shape(&self, known: SourceKnown) -> SourceShape {
        SourceShape::new(known, &self.state.base_url)
    }

    async fn read<T: Command>(&self, body: JsonBody<T>) -> Result<T, Failure> {
        body.read(&self.state.options).await
    }

    /// A source as it is now. Before what is asked of it is looked at: what is another's does not exist, whatever is asked.
    async fn known(&self, caller: &Caller, name: &str) -> Result<(SourceRef, SourceKnown), Failure> {
        let source = source(caller, name)?;
        let known = self.state.sources.get(&source).await?;
        Ok((source, known))
    }
}

fn source(caller: &Caller, name: &str) -> Result<SourceRef, Failure> {
    let name = name.parse().map_err(|_| {
        let shown: String = name.chars().take(80).collect();
        Failure::not_found(format!("there is no source {shown:?}"))
    })?;
    Ok(named(caller, name))
}

fn named(caller: &Caller, name: SourceName) -> SourceRef {
    SourceRef {
        name,
        caller: caller.tenant.clone(),
        by: caller.name.clone(),
    }
}

/// Whose deliveries a secret verifies: those of whoever has the source, unless another is named.
fn whose(asked: Option<&str>, caller: &Caller, known: &SourceKnown) -> Result<TenantId, Failure> {
    match asked {
        Some(asked) => tenant(Some(asked), caller),
        None => Ok(known.tenant.clone()),
    }
}
