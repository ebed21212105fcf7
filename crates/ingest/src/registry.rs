//! The sources that there are now. They come and go while requests are received: a request sees those that there were when
//! it came, to its end, and waits for nobody.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use domain::{Hold, SourceName, Timestamp};

use crate::build_error::BuildError;
use crate::rates::Rates;
use crate::rejection::Rejection;
use crate::route::{self, Route};
use crate::source::{Source, own_path};

/// A source by its name.
#[derive(Clone)]
enum Entry {
    /// It takes deliveries.
    Ready(Arc<Source>),
    /// It exists, and so does its path, but takes none now.
    Held {
        path: Option<String>,
        why: Hold,
        /// What was counted before goes on counting once it takes deliveries again.
        rates: Option<Rates>,
    },
}

impl Entry {
    fn path(&self) -> Option<&str> {
        match self {
            Self::Ready(source) => source.path.as_deref(),
            Self::Held { path, .. } => path.as_deref(),
        }
    }

    fn rates(&self) -> Option<&Rates> {
        match self {
            Self::Ready(source) => Some(&source.rates),
            Self::Held { rates, .. } => rates.as_ref(),
        }
    }
}

/// The sources at one time.
#[derive(Default)]
pub(crate) struct Registry {
    by_name: HashMap<String, Entry>,
    by_path: HashMap<String, String>,
    /// Those that are ready, in the order in which they are asked who makes test deliveries.
    ready: Vec<Arc<Source>>,
    /// Whether there may be sources that are not known yet.
    waiting: bool,
}

impl Registry {
    /// Those that take no deliveries now, and why.
    pub(crate) fn all_held(&self) -> Vec<(&str, Hold)> {
        let held = self.by_name.iter().filter_map(|(name, entry)| match entry {
            Entry::Ready(_) => None,
            Entry::Held { why, .. } => Some((name.as_str(), *why)),
        });
        held.collect()
    }

    /// What a path names; none for one that is not ours.
    pub(crate) fn route<'r>(&'r self, path: &'r str) -> Option<Route<'r>> {
        if let Some(source) = self.by_path.get(route::without_end_slash(path)) {
            return Some(Route {
                source,
                connection: None,
            });
        }
        route::parse(path)
    }

    /// The source that a route names.
    pub(crate) fn find(&self, route: Route<'_>, now: Timestamp) -> Result<&Arc<Source>, Rejection> {
        match self.by_name.get(route.source) {
            Some(Entry::Ready(source)) if source.has(route.connection, now) => Ok(source),
            Some(Entry::Ready(_)) => Err(Rejection::UnknownSource),
            Some(Entry::Held { why, .. }) => Err(match why {
                Hold::Paused => Rejection::SourcePaused,
                Hold::Unavailable => Rejection::SourceUnavailable,
            }),
            None => Err(self.absent()),
        }
    }

    /// What is said of a source that is not there.
    pub(crate) const fn absent(&self) -> Rejection {
        if self.waiting {
            Rejection::SourceUnavailable
        } else {
            Rejection::UnknownSource
        }
    }

    /// The name that a route has, if it is that of a source which takes nothing now.
    pub(crate) fn held(&self, route: Route<'_>) -> Option<&str> {
        let (name, entry) = self.by_name.get_key_value(route.source)?;
        match entry {
            Entry::Held { .. } => Some(name),
            Entry::Ready(_) => None,
        }
    }

    /// The sources that take deliveries.
    pub(crate) fn ready(&self) -> impl Iterator<Item = &Arc<Source>> {
        self.ready.iter()
    }
}

/// The sources over time: those of the settings, and those that come and go and win over them.
#[derive(Default)]
pub(crate) struct Sources {
    now: ArcSwap<Registry>,
    layers: Mutex<Layers>,
}

#[derive(Default)]
struct Layers {
    fixed: Vec<Arc<Source>>,
    added: BTreeMap<SourceName, Entry>,
    waiting: bool,
    /// Those of the settings that one may come in the place of while it is waited.
    uncertain: HashSet<SourceName>,
}

impl Sources {
    /// Those of the settings.
    pub(crate) fn fixed(sources: Vec<Source>) -> Result<Self, BuildError> {
        let (mut names, mut paths) = (HashMap::new(), HashMap::new());
        for source in &sources {
            let name = source.name.as_str().to_owned();
            if names.insert(name.clone(), ()).is_some() {
                return Err(BuildError::DuplicateSource(name));
            }
            if let Some(path) = source.path.clone()
                && paths.insert(path.clone(), ()).is_some()
            {
                return Err(taken(name, path));
            }
        }
        let all = Self::default();
        all.change(|layers| layers.fixed = sources.into_iter().map(Arc::new).collect());
        Ok(all)
    }

    /// The sources at this moment.
    pub(crate) fn now(&self) -> Arc<Registry> {
        self.now.load_full()
    }

    /// Whether a path is one of ours at this moment.
    pub(crate) fn claim(&self, path: &str) -> bool {
        self.now.load().route(path).is_some()
    }

    fn layers(&self) -> MutexGuard<'_, Layers> {
        self.layers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Layers)) {
        let mut layers = self.layers();
        change(&mut layers);
        self.now.store(Arc::new(layers.registry()));
    }

    /// Until it is told that all are known, a source that is not may still come, and so may one in the place of those of
    /// the settings that are named.
    pub(crate) fn wait(&self, uncertain: Vec<SourceName>) {
        self.change(|layers| {
            layers.waiting = true;
            layers.uncertain = uncertain.into_iter().collect();
        });
    }

    /// All are known.
    pub(crate) fn complete(&self) {
        self.change(|layers| {
            layers.waiting = false;
            layers.uncertain.clear();
        });
    }

    /// Whether a source could be put beside the others.
    pub(crate) fn check(&self, source: &Source) -> Result<(), BuildError> {
        self.layers().check(source)
    }

    /// Puts a source, in the place of what has its name.
    pub(crate) fn put(&self, mut source: Source) -> Result<(), BuildError> {
        let mut layers = self.layers();
        layers.check(&source)?;
        if let Some(before) = layers.rates(&source.name) {
            source.rates.go_on(before);
        }
        let name = source.name.clone();
        layers.added.insert(name, Entry::Ready(Arc::new(source)));
        self.now.store(Arc::new(layers.registry()));
        Ok(())
    }

    /// Knows a source, and takes nothing of it.
    pub(crate) fn hold(&self, name: &SourceName, path: Option<&str>, why: Hold) {
        // Nothing that is held gets in the way of the API.
        let path = path.and_then(|path| own_path(name.as_str(), path.to_owned()).ok());
        self.change(|layers| {
            // A path that another source has is none of its own.
            let path = path.filter(|path| !layers.has_path(path, name));
            let rates = layers.rates(name).cloned();
            layers
                .added
                .insert(name.clone(), Entry::Held { path, why, rates });
        });
    }

    /// Forgets a source that was put or held.
    pub(crate) fn remove(&self, name: &SourceName) {
        self.change(|layers| {
            layers.added.remove(name);
        });
    }
}

impl Layers {
    /// Every source that has its name, by that.
    fn entries(&self) -> impl Iterator<Item = (&str, Entry)> {
        let fixed = self
            .fixed
            .iter()
            .filter(|source| !self.added.contains_key(&source.name));
        let fixed = fixed.map(|source| (source.name.as_str(), self.entry_of(source)));
        fixed.chain(
            self.added
                .iter()
                .map(|(name, entry)| (name.as_str(), entry.clone())),
        )
    }

    /// A source of the settings: it judges nothing while one in its place may not be known yet.
    fn entry_of(&self, source: &Arc<Source>) -> Entry {
        if self.uncertain.contains(&source.name) {
            return Entry::Held {
                path: source.path.clone(),
                why: Hold::Unavailable,
                rates: None,
            };
        }
        Entry::Ready(Arc::clone(source))
    }

    /// What is counted under a name.
    fn rates(&self, name: &SourceName) -> Option<&Rates> {
        match self.added.get(name) {
            Some(entry) => entry.rates(),
            None => self.fixed.iter().find(|s| s.name == *name).map(|s| &s.rates),
        }
    }

    fn registry(&self) -> Registry {
        let mut registry = Registry {
            waiting: self.waiting,
            ..Registry::default()
        };
        for (name, entry) in self.entries() {
            if let Some(path) = entry.path() {
                registry.by_path.insert(path.to_owned(), name.to_owned());
            }
            if let Entry::Ready(source) = &entry {
                registry.ready.push(Arc::clone(source));
            }
            registry.by_name.insert(name.to_owned(), entry);
        }
        registry
    }

    /// Whether a path is another source's. One of the settings keeps its own while another stands in its place: it may come
    /// back, and after a restart the same has to be found free.
    fn has_path(&self, path: &str, but: &SourceName) -> bool {
        let fixed = self
            .fixed
            .iter()
            .map(|source| (&source.name, source.path.as_deref()));
        let added = self.added.iter().map(|(name, entry)| (name, entry.path()));
        fixed
            .chain(added)
            .any(|(name, own)| name != but && own == Some(path))
    }

    fn check(&self, source: &Source) -> Result<(), BuildError> {
        match &source.path {
            Some(path) if self.has_path(path, &source.name) => {
                Err(taken(source.name.as_str().to_owned(), path.clone()))
            }
            _ => Ok(()),
        }
    }
}

fn taken(source_name: String, path: String) -> BuildError {
    let why = "is another source's";
    BuildError::Path {
        source_name,
        path,
        why,
    }
}
