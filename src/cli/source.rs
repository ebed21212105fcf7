//! `hooklog source`: senders that are added, changed and removed while the server runs, and their secrets.

mod show;
mod terms;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, Subcommand};
use domain::{SourceName, SourceTerms};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};

use self::terms::TermsArgs;
use super::client::{Refused, ServerArgs, part};
use super::secret;
use super::table::{clean, field};

#[derive(Debug, Subcommand)]
pub(super) enum Source {
    /// Adds a source: its deliveries are taken at once. Without a secret one is made and printed, once.
    #[command(
        after_help = "Examples:\n  hooklog source add github > secret\n  hooklog source add payments --scheme standard --secret-file whsec.txt\n  hooklog source add shop --scheme hmac --proof header=X-Signature --fact id_header=X-Id"
    )]
    Add(Box<Add>),
    /// Lists the sources: those of the settings, and those that were added.
    #[command(after_help = "Example: hooklog source list")]
    List(ServerArgs),
    /// Shows a source and what is known of its secrets; never the secrets themselves.
    #[command(after_help = "Example: hooklog source show github")]
    Show(Named),
    /// Changes what a source is; what is not named stays as it is.
    #[command(
        after_help = "Examples:\n  hooklog source set github --event push --event issues.opened\n  hooklog source set github --reset event"
    )]
    Set(Box<Set>),
    /// Puts a new secret into the place of those of its tenant and hook, which verify beside it for a while.
    #[command(
        after_help = "Examples:\n  hooklog source rotate github > secret\n  hooklog source rotate payments --secret-file whsec.txt --grace-seconds 3600"
    )]
    Rotate(Box<Rotate>),
    /// Takes no deliveries of a source: senders are asked to come back. GitHub does not.
    #[command(after_help = "Example: hooklog source pause payments --reason \"maintenance\"")]
    Pause(Reasoned),
    /// Takes deliveries of a source again.
    #[command(after_help = "Example: hooklog source resume payments")]
    Resume(Named),
    /// Removes a source: its URL is not known any more. Its deliveries stay.
    #[command(after_help = "Example: hooklog source remove payments --reason \"the contract has ended\"")]
    Remove(Reasoned),
    /// Adds a secret to those of a source, or revokes one.
    #[command(
        subcommand,
        after_help = "Example: hooklog source secret add github --hook 41"
    )]
    Secret(SecretCommand),
    /// Encrypts all secrets with the newest key, after the key was replaced.
    #[command(after_help = "Example: hooklog source reseal")]
    Reseal(ServerArgs),
}

#[derive(Debug, Subcommand)]
pub(super) enum SecretCommand {
    /// Has one more secret verify, of a second sender at the same URL for example. Without one it is made and printed, once.
    #[command(
        after_help = "Example: hooklog source secret add github --hook 41 --tenant team-a --secret-file secret"
    )]
    Add(Box<AddSecret>),
    /// Has a secret verify nothing any more, at once.
    #[command(after_help = "Example: hooklog source secret revoke github 2026-11")]
    Revoke {
        #[command(flatten)]
        server: ServerArgs,
        /// The source.
        name: String,
        /// The id of the secret, as `hooklog source show` tells it; never the secret.
        id: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct Named {
    #[command(flatten)]
    server: ServerArgs,
    /// The source.
    name: String,
}

#[derive(Debug, Args)]
pub(super) struct Reasoned {
    #[command(flatten)]
    server: ServerArgs,
    /// The source.
    name: String,
    /// Why; kept with what was done.
    #[arg(long)]
    reason: Option<String>,
}

/// A new secret, and what it verifies.
#[derive(Debug, Args)]
struct SecretArgs {
    /// A file with the secret, `-` for standard input [default: the variable `HOOKLOG_NEW_SECRET`, else one is made].
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// What to call the secret [default: a name is made].
    #[arg(long, value_name = "ID")]
    secret_id: Option<String>,
    /// Whose deliveries it verifies; whose a new source is [default: that of the source, of a new one the caller's own].
    #[arg(long)]
    tenant: Option<String>,
    /// The hook or connection it belongs to, such as GitHub's hook id [default: all that have none of their own].
    #[arg(long)]
    hook: Option<String>,
}

/// A secret that was found or made.
struct Found {
    value: SecretString,
    made: bool,
}

impl SecretArgs {
    /// The secret that was given.
    fn given(&self) -> anyhow::Result<Option<Found>> {
        let value = match &self.secret_file {
            Some(file) => Some(secret::read(file)?),
            None => secret::of_variable()?,
        };
        Ok(value.map(|value| Found { value, made: false }))
    }

    /// The secret that was given, or one that is made for a source of these terms.
    fn found(&self, terms: &Value) -> anyhow::Result<Found> {
        if let Some(found) = self.given()? {
            return Ok(found);
        }
        let scheme = field(terms, "scheme").as_str().unwrap_or_default();
        let encoding = field(field(terms, "proof"), "secret_encoding").as_str();
        let value = secret::made(scheme, encoding)?;
        Ok(Found { value, made: true })
    }

    /// What the API takes of it.
    fn body(&self, found: &Found) -> Map<String, Value> {
        let all = [
            ("secret", Some(found.value.expose_secret().to_owned())),
            ("id", self.secret_id.clone()),
            ("tenant", self.tenant.clone()),
            ("hook", self.hook.clone()),
        ];
        let given = all.into_iter().filter_map(|(name, value)| Some((name, value?)));
        given
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect()
    }
}

#[derive(Debug, Args)]
pub(super) struct Add {
    #[command(flatten)]
    server: ServerArgs,
    /// What to call it: a-z, 0-9, _ and -. It stands in its URL.
    name: SourceName,
    #[command(flatten)]
    secret: SecretArgs,
    #[command(flatten)]
    terms: TermsArgs,
}

#[derive(Debug, Args)]
pub(super) struct Set {
    #[command(flatten)]
    server: ServerArgs,
    /// The source.
    name: String,
    #[command(flatten)]
    terms: TermsArgs,
    /// Makes it the usual again; may be given several times.
    #[arg(long, value_name = "WHAT", value_parser = terms::names())]
    reset: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct Rotate {
    #[command(flatten)]
    server: ServerArgs,
    /// The source.
    name: String,
    #[command(flatten)]
    secret: SecretArgs,
    /// How long the secrets before it verify beside it, in seconds [default: 24 hours].
    #[arg(long, value_name = "SECONDS")]
    grace_seconds: Option<u32>,
}

#[derive(Debug, Args)]
pub(super) struct AddSecret {
    #[command(flatten)]
    server: ServerArgs,
    /// The source.
    name: String,
    #[command(flatten)]
    secret: SecretArgs,
}

impl Source {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Add(add) => add.run(),
            Self::List(server) => show::list(&server, &get(&server, "/sources")?),
            Self::Show(named) => {
                let data = get(&named.server, &path(&named.name, ""))?;
                show::one(&named.server, &data)
            }
            Self::Set(set) => set.run(),
            Self::Rotate(rotate) => rotate.run(),
            Self::Pause(asked) => {
                let body = asked
                    .reason
                    .map_or_else(|| json!({}), |reason| json!({ "reason": reason }));
                let data = post(&asked.server, &path(&asked.name, "/pause"), &body)?;
                let told = format!(
                    "{} takes no deliveries; senders are asked to come back",
                    clean(&asked.name)
                );
                show::told(&asked.server, &data, &told)
            }
            Self::Resume(named) => {
                let data = post(&named.server, &path(&named.name, "/resume"), &json!({}))?;
                show::told(
                    &named.server,
                    &data,
                    &format!("{} takes deliveries", clean(&named.name)),
                )
            }
            Self::Remove(asked) => asked.remove(),
            Self::Secret(SecretCommand::Add(add)) => add.run(),
            Self::Secret(SecretCommand::Revoke { server, name, id }) => revoke(&server, &name, &id),
            Self::Reseal(server) => {
                let data = post(&server, "/secrets/reseal", &json!({}))?;
                let count = field(&data, "resealed").as_u64().unwrap_or(0);
                show::told(&server, &data, &format!("{count} secrets were encrypted anew"))
            }
        }
    }
}

impl Add {
    fn run(self) -> anyhow::Result<ExitCode> {
        let mut terms = self.terms.fields();
        let usual = || SourceTerms::usual_scheme(&self.name).into();
        terms.entry("scheme").or_insert_with(usual);
        let terms = Value::from(terms);
        // Where nothing has to be proved, none is made.
        let found = if field(&terms, "verify") == &Value::from(false) {
            self.secret.given()?
        } else {
            Some(self.secret.found(&terms)?)
        };
        let mut body = json!({ "name": self.name.as_str(), "tenant": self.secret.tenant });
        let all = [
            terms,
            Value::from(found.as_ref().map_or_else(Map::new, |f| self.secret.body(f))),
        ];
        if let Some(body) = body.as_object_mut() {
            body.extend(all.into_iter().filter_map(members).flatten());
            // What the API calls a secret's id beside the name of a source.
            if let Some(id) = body.remove("id") {
                body.insert("secretId".to_owned(), id);
            }
        }
        let data = post(&self.server, "/sources", &body);
        let data = data.map_err(|error| may_be_done(error, found.as_ref(), self.name.as_str()))?;
        show::added(&self.server, data, found.as_ref(), &self.secret)
    }
}

fn members(value: Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(members) => Some(members),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
    }
}

impl Set {
    fn run(self) -> anyhow::Result<ExitCode> {
        let mut changes = self.terms.fields();
        changes.extend(terms::resets(&self.reset, &changes)?);
        if changes.is_empty() {
            let nothing = "nothing is to be changed: give an option such as --event push, or --reset WHAT\n";
            clap::Error::raw(ErrorKind::MissingRequiredArgument, nothing).print()?;
            return Ok(ExitCode::from(2));
        }
        let (client, path) = (self.server.client()?, path(&self.name, ""));
        let changed = super::block_on(client.patch(&path, &changes.into()))?;
        show::one(&self.server, &changed)
    }
}

impl Rotate {
    fn run(self) -> anyhow::Result<ExitCode> {
        let found = self.secret.found(&get(&self.server, &path(&self.name, ""))?)?;
        let mut body = self.secret.body(&found);
        body.extend(
            self.grace_seconds
                .map(|grace| ("graceSeconds".to_owned(), grace.into())),
        );
        let data = post(&self.server, &path(&self.name, "/rotate"), &body.into());
        let data = data.map_err(|error| may_be_done(error, Some(&found), &self.name))?;
        show::rotated(&self.server, data, &found)
    }
}

impl AddSecret {
    fn run(self) -> anyhow::Result<ExitCode> {
        let found = self.secret.found(&get(&self.server, &path(&self.name, ""))?)?;
        let body = self.secret.body(&found);
        let data = post(&self.server, &path(&self.name, "/secrets"), &body.into());
        let data = data.map_err(|error| may_be_done(error, Some(&found), &self.name))?;
        show::added(&self.server, data, Some(&found), &self.secret)
    }
}

impl Reasoned {
    fn remove(&self) -> anyhow::Result<ExitCode> {
        let reason = self
            .reason
            .as_deref()
            .map(|reason| format!("?reason={}", part(reason)));
        let path = path(&self.name, &reason.unwrap_or_default());
        let client = self.server.client()?;
        let data = super::block_on(client.delete(&path))?;
        let told = format!("{} is removed; its deliveries stay", clean(&self.name));
        show::told(&self.server, &data, &told)
    }
}

fn revoke(server: &ServerArgs, name: &str, id: &str) -> anyhow::Result<ExitCode> {
    let client = server.client()?;
    let path = path(name, &format!("/secrets/{}", part(id)));
    let data = super::block_on(client.delete(&path))?;
    show::told(server, &data, &format!("{} verifies nothing any more", clean(id)))
}

/// Without an answer nobody knows whether it was done: with a secret that was made here, and that nobody has seen.
fn may_be_done(error: anyhow::Error, found: Option<&Found>, name: &str) -> anyhow::Error {
    let is_refused = error.downcast_ref::<Refused>().is_some();
    if is_refused || !found.is_some_and(|found| found.made) {
        return error;
    }
    let name = clean(name);
    error.context(format!(
        "it may have been done all the same, with a secret that is lost: see `hooklog source show {name}`, and have another one \
         made with `hooklog source rotate {name}`"
    ))
}

/// The path of a source, and what follows it.
fn path(name: &str, rest: &str) -> String {
    format!("/sources/{}{rest}", part(name))
}

fn get(server: &ServerArgs, path: &str) -> anyhow::Result<Value> {
    let client = server.client()?;
    super::block_on(client.get(path, &[]))
}

fn post(server: &ServerArgs, path: &str, body: &Value) -> anyhow::Result<Value> {
    let client = server.client()?;
    super::block_on(client.post(path, body))
}
