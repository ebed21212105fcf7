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
            self.give_way(&name, keeper);
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
        for name in self.in_order_of_paths(|_| true) {
            self.tell(&name, keeper);
        }
        keeper.receiver.complete();
    }

    /// Sources in the order in which they were given their paths: of several with one path the first has it, in every replica
    /// and after every restart.
    fn in_order_of_paths(&self, wanted: impl Fn(&SourceState) -> bool) -> Vec<SourceName> {
        let mut sources: Vec<&SourceState> = self.directory.iter().filter(|source| wanted(source)).collect();
        sources.sort_by_key(|source| source.path_since);
        sources.iter().map(|source| source.name.clone()).collect()
    }

    /// What this replica did itself it knew before what others did earlier: whoever has the path of a source, and was given it
    /// later, gives way.
    fn give_way(&mut self, name: &SourceName, keeper: &SourceKeeper) {
        let Some(source) = self.directory.get(name).filter(|source| !source.is_removed()) else {
            return;
        };
        let (path, since) = (source.terms.path.as_deref(), source.path_since);
        if path.is_none() || keeper.fixed(name).is_some() {
            return;
        }
        let later = self.in_order_of_paths(|other| {
            other.terms.path.as_deref() == path && other.path_since > since && !other.is_removed()
        });
        for other in later.iter().filter(|other| keeper.fixed(other).is_none()) {
            keeper.receiver.hold(other, None, Hold::Unavailable);
            self.troubles
                .insert(other.clone(), "its path is another source's".into());
        }
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
        let others = self
            .in_order_of_paths(|source| source.name != *changed && self.troubles.contains_key(&source.name));
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
