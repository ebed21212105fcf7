//! jq programs that make the body to send. The first output is the body; none means that nothing is sent.
//!
//! A program comes from the settings, and is trusted not to be malicious, but not to be right: it runs on a thread of its
//! own with a time, a number of steps, a stack and memory that it can't exceed (`fuel`), sees no file and no environment, and
//! its output is bounded. The body it looks into is trusted with nothing.

use std::any::Any;
use std::io::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jaq_core::data::JustLut;
use jaq_core::load::parse::{Def, Term};
use jaq_core::load::{Arena, File, Lexer, Loader, Parser, span};
use jaq_core::{Compiler, Ctx, Filter, Vars};
use jaq_json::Val;
use serde::de::IgnoredAny;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;

use super::fuel::{self, Fuel, UsedUp};
use super::look::Place;
use super::memory::MEMORY_BYTES_MAX;
use super::shape::{DEPTH_MAX, DIGITS_MAX, Shape};

/// What programs work on.
pub(crate) type Data = JustLut<Val>;

/// How much stack a program may use, in bytes.
const STACK_BYTES_USED_MAX: usize = 64 * 1024 * 1024;
/// Steps of a run. They also bound how deep a value can be nested, and so the stack that it takes to drop it.
const STEPS_MAX: u64 = 4_000_000;
/// Runs at once, of one program. One that hangs inside a native filter keeps its place.
const RUNS_MAX: usize = 4;
/// How much longer than its time a run is waited for.
const GRACE: Duration = Duration::from_millis(500);
/// Filters that reach outside, or end the process.
const REMOVED: [&str; 6] = ["env", "halt", "debug_empty", "stderr_empty", "input", "inputs"];
/// What the library builds on them.
const REMOVED_DEFINITIONS: [&str; 4] = ["halt", "halt_error", "debug", "stderr"];
/// What the program is called as a definition.
const PROGRAM: &str = "hooklog_program";
/// The stack of the compiler, in bytes.
const COMPILING_STACK_BYTES: usize = 256 * 1024 * 1024;
/// The longest program, in bytes.
const PROGRAM_BYTES_MAX: usize = 64 * 1024;
/// The most of an error's text that is looked at, in bytes.
const ERROR_BYTES_MAX: usize = 500;

/// A compiled program.
pub(crate) struct Transform {
    filter: Arc<Filter<Data>>,
    runs: Arc<Semaphore>,
    fuel: Fuel,
    output_bytes_max: usize,
}

/// Why a program gave no body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoBody {
    /// The body is no JSON that it can look into.
    #[error("the body {0}")]
    Input(&'static str),
    /// It failed.
    #[error("{0}")]
    Failed(String),
    /// It used up what a run may use.
    #[error("it {0}")]
    Stopped(String),
    /// It could not be run now.
    #[error("it could not be run: {0}")]
    NotNow(String),
}

impl Transform {
    /// Compiles a program.
    pub(crate) fn compile(text: &str, time: Duration, output_bytes_max: usize) -> Result<Self, String> {
        let filter = compile_apart(text)?;
        Ok(Self {
            filter: Arc::new(filter),
            runs: Arc::new(Semaphore::new(RUNS_MAX)),
            fuel: Fuel {
                time,
                steps: STEPS_MAX,
                stack_bytes: STACK_BYTES_USED_MAX,
                memory_bytes: MEMORY_BYTES_MAX,
                text_bytes: output_bytes_max,
            },
            output_bytes_max,
        })
    }

    /// Runs it on a JSON body. `None` when it gives nothing. The place is held for as long as the body is looked into.
    pub(crate) async fn run(&self, json: Bytes, looking: Place) -> Result<Option<Bytes>, NoBody> {
        let whole = self.fuel.time + GRACE;
        let place = timeout(whole, Arc::clone(&self.runs).acquire_owned()).await;
        let Ok(Ok(place)) = place else {
            return Err(NoBody::NotNow("earlier runs have not ended".to_owned()));
        };
        let (answer, answered) = oneshot::channel();
        let run = Run {
            filter: Arc::clone(&self.filter),
            fuel: self.fuel,
            output_bytes_max: self.output_bytes_max,
            json,
            places: (place, looking),
        };
        std::thread::Builder::new()
            .name("hooklog-jq".to_owned())
            .stack_size(self.fuel.thread_bytes())
            .spawn(move || {
                // Nobody waits any longer when it took too long.
                let _ = answer.send(run.perform());
            })
            .map_err(|error| NoBody::NotNow(format!("no thread could be started: {error}")))?;
        match timeout(whole, answered).await {
            Ok(Ok(made)) => made,
            Ok(Err(_)) => Err(NoBody::Failed("it ended without an answer".to_owned())),
            Err(_) => Err(NoBody::Stopped(late(self.fuel.time))),
        }
    }
}

impl std::fmt::Debug for Transform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transform").field("fuel", &self.fuel).finish()
    }
}

fn late(time: Duration) -> String {
    format!("took longer than {} ms", time.as_millis())
}

/// One run, on its own thread.
struct Run {
    filter: Arc<Filter<Data>>,
    fuel: Fuel,
    output_bytes_max: usize,
    json: Bytes,
    /// Held until the thread ends.
    places: (OwnedSemaphorePermit, Place),
}

impl Run {
    fn perform(self) -> Result<Option<Bytes>, NoBody> {
        let outcome = catch_unwind(AssertUnwindSafe(|| self.first_output()));
        drop(self.places);
        outcome.unwrap_or_else(|panic| Err(stopped(panic.as_ref(), self.fuel)))
    }

    fn first_output(&self) -> Result<Option<Bytes>, NoBody> {
        let input = read(&self.json)?;
        fuel::fill(self.fuel);
        let context = Ctx::<Data>::new(&self.filter.lut, Vars::new([]));
        let first = self.filter.id.run((context, input)).next();
        match first {
            None => Ok(None),
            Some(Ok(value)) => self.written(&value).map(Some),
            Some(Err(exception)) => Err(NoBody::Failed(match exception.get_err() {
                Ok(error) => shown(&error),
                Err(_) => "it left the program".to_owned(),
            })),
        }
    }

    fn written(&self, value: &Val) -> Result<Bytes, NoBody> {
        let mut output = Bounded {
            bytes: Vec::new(),
            left: self.output_bytes_max,
        };
        jaq_json::write::write(&mut output, &jaq_json::write::Pp::default(), 0, value)
            .map_err(|_| NoBody::Stopped(format!("gave more than {} bytes", self.output_bytes_max)))?;
        // NaN, raw bytes and keys that are no text are values to jaq, but no JSON.
        serde_json::from_slice::<IgnoredAny>(&output.bytes)
            .map_err(|_| NoBody::Failed("what it gave is no JSON".to_owned()))?;
        Ok(output.bytes.into())
    }
}

/// Writes until it is full.
struct Bounded {
    bytes: Vec<u8>,
    left: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.left = self
            .left
            .checked_sub(piece.len())
            .ok_or(io::ErrorKind::OutOfMemory)?;
        self.bytes.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Compiles on a thread with a large stack: the parser goes as deep as the text does.
fn compile_apart(text: &str) -> Result<Filter<Data>, String> {
    if text.len() > PROGRAM_BYTES_MAX {
        return Err(format!("it is longer than {PROGRAM_BYTES_MAX} bytes"));
    }
    let unparsed = || "it can't be parsed".to_owned();
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().stack_size(COMPILING_STACK_BYTES);
        let compiling = builder.spawn_scoped(scope, || compile(text));
        let compiling = compiling.map_err(|error| format!("no thread could be started: {error}"))?;
        compiling.join().map_err(|_| unparsed())?
    })
}

fn compile(text: &str) -> Result<Filter<Data>, String> {
    // The program becomes a definition, so that it is metered like those of the library.
    let program = Def {
        name: PROGRAM,
        args: Vec::new(),
        body: parsed(text)?,
    };
    let library = jaq_core::defs()
        .chain(jaq_std::defs())
        .chain(jaq_json::defs())
        .filter(|def| !REMOVED_DEFINITIONS.contains(&def.name));
    let definitions = library.map(of_any_lifetime).chain([program]).map(fuel::metered);
    let main = File {
        code: PROGRAM,
        path: (),
    };
    let arena = Arena::default();
    let modules = Loader::new(definitions)
        .load(&arena, main)
        .map_err(|_| "it can't be loaded".to_owned())?;
    let natives = jaq_core::funs::<Data>()
        .chain(jaq_std::funs::<Data>())
        .chain(jaq_json::funs::<Data>())
        .filter(|native| !REMOVED.contains(&native.0))
        .chain(fuel::filters());
    let compiled = Compiler::default().with_funs(natives).compile(modules);
    compiled.map_err(|errors| {
        let unknown = errors.iter().flat_map(|(_, errors)| errors).next();
        match unknown {
            Some((name, kind)) => format!("there is no {} {name}", kind.as_str()),
            None => "it can't be compiled".to_owned(),
        }
    })
}

/// A definition of the library beside those of a program, which live shorter.
fn of_any_lifetime<'s>(def: Def<&'static str>) -> Def<&'s str> {
    def
}

fn parsed(text: &str) -> Result<Term<&str>, String> {
    let at = |rest: &str| text.len() - rest.len() + 1;
    let tokens = Lexer::new(text).lex().map_err(|errors| match errors.first() {
        Some((expected, rest)) => format!("{} expected at character {}", expected.as_str(), at(rest)),
        None => "it can't be read".to_owned(),
    })?;
    Parser::new(&tokens)
        .parse(|parser| parser.term())
        .map_err(|errors| match errors.first() {
            Some((expected, Some(token))) => {
                let place = span(text, token.0).start + 1;
                format!(
                    "{} expected at character {place}, not {:?}",
                    expected.as_str(),
                    token.0
                )
            }
            Some((expected, None)) => format!("{} expected at the end", expected.as_str()),
            None => "it can't be parsed".to_owned(),
        })
}

/// Reads the body. jaq's own reader takes more than JSON, and whatever its shape is, so both are looked at before.
fn read(json: &[u8]) -> Result<Val, NoBody> {
    serde_json::from_slice::<IgnoredAny>(json).map_err(|_| NoBody::Input("is no JSON"))?;
    let shape = Shape::of(json);
    if shape.depth > DEPTH_MAX {
        return Err(NoBody::Input("is nested beyond 128"));
    }
    if shape.digits > DIGITS_MAX {
        return Err(NoBody::Input("has a number of more than 1000 digits"));
    }
    jaq_json::read::parse_single(json).map_err(|_| NoBody::Input("is no JSON"))
}

fn stopped(panic: &(dyn Any + Send), fuel: Fuel) -> NoBody {
    match panic.downcast_ref::<UsedUp>() {
        Some(UsedUp::Time) => NoBody::Stopped(late(fuel.time)),
        Some(UsedUp::Steps) => NoBody::Stopped(format!("took more than {} steps", fuel.steps)),
        Some(UsedUp::Stack) => NoBody::Stopped("called itself too deep".to_owned()),
        Some(UsedUp::Memory) => {
            NoBody::Stopped(format!("took more than {} bytes of memory", fuel.memory_bytes))
        }
        Some(UsedUp::Text) => {
            NoBody::Stopped(format!("made a text of more than {} bytes by *", fuel.text_bytes))
        }
        None => NoBody::Failed("the run failed inside".to_owned()),
    }
}

/// The text of an error, which may hold a whole body: only its beginning is of use.
fn shown(error: &jaq_json::Error) -> String {
    let mut text = Bounded {
        bytes: Vec::new(),
        left: ERROR_BYTES_MAX,
    };
    // It is full where the text is longer.
    let _ = write!(text, "{error}");
    String::from_utf8_lossy(&text.bytes).into_owned()
}

#[cfg(test)]
mod tests;
