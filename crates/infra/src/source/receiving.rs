//! What receiving was told: the directory of sources, and what of each of them is in use.

use std::collections::BTreeMap;

use domain::{
    CategoryFold as _, Hold, OpenSecret, OpenSource, RecordedEvent, SourceDirectory, SourceName, SourceState,
    Timestamp,
};

use super::SourceKeeper;
use crate::secret::{OpenError, Sealer};

/// The sources of the log, and what receiving makes of them.
#[derive(Debug, Default)]
pub(super) struct Receiving {
    directory: SourceDirectory,
    /// Whether the log was read to where it ended at the start.
    complete: bool,
    /// Why a source can't be used.
    troubles: BTreeMap<SourceName, String>,
}

impl Receiving {
    /// The sources, once the log was read.
    pub(super) fn directory(&self) -> Option<&SourceDirectory> {
        self.complete.then_some(&self.directory)
    }

    /// Why a source can't be used, if it can't.
    pub(super) fn trouble(&self, name: &SourceName) -> Option<&String> {
        self.troubles.get(name)
    }

    /// Takes the next event. What was there at the start is told to receiving as a whole, later changes one by one.
    pub(super) fn learn(&mut self, event: &RecordedEvent, keeper: &SourceKeeper) {
        let before = self.revision(event);
        self.directory.evolve(event);
        if !self.complete || self.revision(event) == before {
            return;
        }
        if let Ok(name) = event.stream.id().parse::<SourceName>() {
            self.tell(&name, keeper);
            self.tell_troubled(&name, keeper);
        }
    }

    fn revision(&self, event: &RecordedEvent) -> Option<domain::Revision> {
        let name = event.stream.id().parse().ok()?;
        self.directory.get(&name).map(|source| source.revision)
    }

    /// All that was in the log at the start is known.
    pub(super) fn complete(&mut self, keeper: &SourceKeeper) {
        if self.complete {
            return;
        }
        self.complete = true;
        // In the order of the log: of two sources of one path the same one is first as for those who saw them come.
        let mut sources: Vec<&SourceState> = self.directory.iter().collect();
        sources.sort_by_key(|source| source.changed_at);
        let names: Vec<SourceName> = sources.iter().map(|source| source.name.clone()).collect();
        names.iter().for_each(|name| self.tell(name, keeper));
        keeper.receiver.complete();
    }

    /// Tells receiving what became of a source.
    fn tell(&mut self, name: &SourceName, keeper: &SourceKeeper) {
        let Some(source) = self.directory.get(name) else {
            return;
        };
        if keeper.fixed(name).is_some() {
            return;
        }
        self.troubles.remove(name);
        let path = source.terms.path.as_deref();
        if source.is_removed() {
            keeper.receiver.remove(name);
            return;
        }
        let usable = match &source.trouble {
            Some(trouble) => Err(trouble.clone()),
            None => open(source, &keeper.sealer, keeper.clock.now()).map_err(|error| error.to_string()),
        };
        let used = match usable {
            Ok(_) if source.is_paused() => {
                keeper.receiver.hold(name, path, Hold::Paused);
                return;
            }
            Ok(open) => keeper.receiver.put(&open),
            Err(why) => Err(why),
        };
        if let Err(why) = used {
            tracing::error!(
                source = name.as_str(),
                why,
                "the source can't be used: its senders are asked to come back"
            );
            keeper.receiver.hold(name, path, Hold::Unavailable);
            self.troubles.insert(name.clone(), why);
        }
    }

    /// What stood in the way of others, such as their path, may be gone.
    fn tell_troubled(&mut self, changed: &SourceName, keeper: &SourceKeeper) {
        let others: Vec<SourceName> = self
            .troubles
            .keys()
            .filter(|name| *name != changed)
            .cloned()
            .collect();
        others.iter().for_each(|name| self.tell(name, keeper));
    }
}

/// A source with the secrets open that verify now, or will be asked to.
pub(super) fn open(source: &SourceState, sealer: &Sealer, now: Timestamp) -> Result<OpenSource, OpenError> {
    let secrets = source.valid_secrets(now).map(|secret| {
        let value = sealer.open(&source.name, &secret.sealed)?;
        Ok(OpenSecret {
            id: secret.sealed.id.clone(),
            tenant: secret.sealed.tenant.clone(),
            hook: secret.sealed.hook.clone(),
            value,
            valid_until: secret.valid_until,
        })
    });
    Ok(OpenSource {
        name: source.name.clone(),
        terms: source.terms.clone(),
        secrets: secrets.collect::<Result<_, _>>()?,
    })
}
