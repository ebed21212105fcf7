//! CEL expressions over a delivery: conditions and priorities.
//!
//! CEL has no loops but those over lists and maps, so each evaluation ends; nested ones over a hostile body could still take
//! hours. Every look-up of a variable passes through [`Watch`], which ends the evaluation once its time is over or the memory
//! it fills too much.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cel::common::value::CowVal;
use cel::context::VariableResolver;
use cel::{Context, Env, ExecutionError, Program, Value, extensions};
use domain::DeliveryReceived;

use super::facts::{NAMES, facts};
use super::memory::{Growth, MEMORY_BYTES_MAX};
use super::names;

/// A compiled expression.
pub(crate) struct Expression {
    program: Program,
    env: Arc<Env>,
    asked: Vec<&'static str>,
    memory_bytes: u64,
}

/// Why an expression gave nothing that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unevaluated {
    /// It asks for a field that this body does not have, or has as something else.
    #[error("a field is missing")]
    Missing,
    /// It can't be evaluated.
    #[error("{0}")]
    Broken(String),
    /// It took too long.
    #[error("it took longer than {} ms", .0.as_millis())]
    Late(Duration),
}

/// Unwinds an evaluation that took too much; CEL has no other way out of it.
enum TooMuch {
    Time,
    Memory,
}

impl Expression {
    /// Compiles an expression, and refuses names that it can't know.
    pub(crate) fn compile(text: &str) -> Result<Self, String> {
        // The parser is not ours, and a text from a settings file must not end the program.
        let env = Arc::new(environment()?);
        let compiled = catch_unwind(AssertUnwindSafe(|| env.compile(text)))
            .map_err(|_| "it can't be parsed".to_owned())?;
        let program = compiled.map_err(|errors| errors.to_string().trim().to_owned())?;
        if let Some(name) = names::unknown(program.expression(), &NAMES) {
            let known = NAMES.join(", ");
            return Err(format!("there is no name {name}; the names are {known}"));
        }
        let references = program.references();
        let asked = NAMES
            .into_iter()
            .filter(|name| references.has_variable(name))
            .collect();
        let expression = Self {
            program,
            env,
            asked,
            memory_bytes: MEMORY_BYTES_MAX,
        };
        expression.try_out()?;
        Ok(expression)
    }

    /// Whether it looks into the body.
    pub(crate) fn asks_for_body(&self) -> bool {
        self.asked.contains(&"body")
    }

    /// Its value for a delivery.
    pub(crate) fn value(
        &self,
        received: &DeliveryReceived,
        json: Option<&[u8]>,
        time: Duration,
    ) -> Result<Value, Unevaluated> {
        let values = facts(received, json, |name| self.asked.contains(&name));
        match self.executed(values, time) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(unevaluated(&error)),
            Err(panic) => Err(match panic.downcast_ref() {
                Some(TooMuch::Time) => Unevaluated::Late(time),
                Some(TooMuch::Memory) => {
                    Unevaluated::Broken(format!("it took more than {} bytes of memory", self.memory_bytes))
                }
                None => Unevaluated::Broken("it can't be evaluated for this delivery".to_owned()),
            }),
        }
    }

    fn executed(
        &self,
        values: HashMap<&'static str, Value>,
        time: Duration,
    ) -> std::thread::Result<Result<Value, ExecutionError>> {
        let watch = Watch {
            until: Instant::now() + time,
            growth: Mutex::new(Growth::of(self.memory_bytes)),
        };
        let mut context = Context::with_env(Arc::clone(&self.env));
        for (name, value) in values {
            context.add_variable_from_value(name, value);
        }
        context.set_variable_resolver(&watch);
        catch_unwind(AssertUnwindSafe(|| self.program.execute(&context)))
    }

    /// Evaluates it with nothing in hand: a function that does not exist shows now, and not on the first delivery.
    fn try_out(&self) -> Result<(), String> {
        let nothing = self.asked.iter().map(|name| (*name, Value::from("")));
        match self.executed(nothing.collect(), Duration::from_secs(1)) {
            Ok(Err(ExecutionError::UndeclaredReference(name))) => Err(format!("there is no function {name}")),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Expression").field("asked", &self.asked).finish()
    }
}

/// When an evaluation has to end. It is asked for every variable, before those that have a value; it has none.
struct Watch {
    until: Instant,
    growth: Mutex<Growth>,
}

impl VariableResolver for Watch {
    fn resolve<'b>(&'b self, _: &str) -> Option<CowVal<'b, 'b>> {
        let now = Instant::now();
        if now > self.until {
            resume_unwind(Box::new(TooMuch::Time));
        }
        let is_over = self
            .growth
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_over(now);
        if is_over {
            resume_unwind(Box::new(TooMuch::Memory));
        }
        None
    }
}

/// The standard functions and those for texts (`lowerAscii`, `split`, `replace`, …).
fn environment() -> Result<Env, String> {
    let mut env = Env::stdlib();
    env.add_extension(extensions::strings)
        .map_err(|error| error.to_string())?;
    Ok(env)
}

/// A field that is not there is usual: bodies of different events look different. Anything else is a fault of the
/// expression.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enum is not ours, and may grow"
)]
fn unevaluated(error: &ExecutionError) -> Unevaluated {
    let missing = match error {
        ExecutionError::NoSuchKey(_) | ExecutionError::IndexOutOfBounds(_) => true,
        // A field of something that has none: null, a text, a number.
        ExecutionError::NoSuchOverload(call) => matches!(call.function(), "_._" | "_[_]"),
        _ => false,
    };
    if missing {
        Unevaluated::Missing
    } else {
        Unevaluated::Broken(described(error))
    }
}

/// What is wrong, by types instead of values: these are parts of bodies, and the text ends up in logs.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enum is not ours, and may grow"
)]
fn described(error: &ExecutionError) -> String {
    let of = |value: &Value| value.type_of().to_string();
    match error {
        ExecutionError::UnsupportedBinaryOperator(operator, left, right)
        | ExecutionError::Overflow(operator, left, right) => {
            format!(
                "{operator} does not work with these values, {} and {}",
                of(left),
                of(right)
            )
        }
        ExecutionError::ValuesNotComparable(left, right) | ExecutionError::UnsupportedIndex(left, right) => {
            format!("{} and {} do not go together", of(left), of(right))
        }
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
            "a division by zero".to_owned()
        }
        ExecutionError::NotSupportedAsMethod { method, target } => format!("{} has no {method}", of(target)),
        ExecutionError::NoSuchOverload(_)
        | ExecutionError::UndeclaredReference(_)
        | ExecutionError::InvalidArgumentCount { .. }
        | ExecutionError::UnexpectedType { .. }
        | ExecutionError::MissingArgumentOrTarget => error.to_string(),
        ExecutionError::FunctionError { function, .. } => format!("{function} failed"),
        _ => "it can't be evaluated for this delivery".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use domain::HeaderFact;
    use domain::testing::TestDelivery;

    use super::*;

    const TIME: Duration = Duration::from_secs(5);
    const BODY: &str = r#"{"ref":"refs/heads/main","size":3,"big":18446744073709551615,"ratio":0.5,"draft":false,
        "none":null,"commits":[{"id":"a","files":["x.rs"]},{"id":"b","files":[]}],"head.ref":"x"}"#;

    fn received() -> DeliveryReceived {
        let mut delivery = TestDelivery::new("push", BODY);
        delivery.action = Some("opened".into());
        let mut received = delivery.received();
        received
            .headers
            .push(HeaderFact("X-GitHub-Event".into(), "push".into()));
        received
    }

    fn value(text: &str, body: &str) -> Result<Value, Unevaluated> {
        let expression = Expression::compile(text).unwrap();
        expression.value(&received(), Some(body.as_bytes()), TIME)
    }

    #[test]
    fn facts_headers_and_body_can_be_asked_for() {
        for text in [
            "source == 'github' && event == 'push' && action == 'opened'",
            "repository.startsWith('octo-org/') && sender == 'octocat' && tenant == 'default'",
            "hook_id == '41' && delivery_id != ''",
            "headers['x-github-event'] == 'push' && 'content-type' in headers",
            "body.ref == 'refs/heads/main' && body.size == 3 && body.size > 2 && body.ratio < 1.0",
            "body.size + 1 == 4",
            "body.big > 5u",
            "!body.draft && body.none == null",
            "has(body.ref) && !has(body.nothing)",
            "body.commits.exists(c, c.id == 'b') && body.commits.all(c, size(c.id) == 1)",
            "body.commits.map(c, c.id) == ['a', 'b'] && size(body.commits.filter(c, size(c.files) > 0)) == 1",
            "event.upperAscii() == 'PUSH' && body.ref.split('/')[2] == 'main'",
            "body.commits.exists(event, event.id == 'b') && event == 'push'",
            "type(body.size) == int && [1, 2].map(n, n > 1, n * 2) == [4] && {'k': event}.k == 'push'",
            "body['head.ref'] == 'x' && body.ref.matches('^refs/heads/(main|dev)$')",
        ] {
            assert_eq!(value(text, BODY), Ok(Value::Bool(true)), "{text}");
        }
    }

    #[test]
    fn a_field_that_a_body_has_not_is_told_from_a_fault() {
        for text in [
            "body.nothing == 1",
            "body.commits[7].id == 'a'",
            "headers['x-none'] == ''",
        ] {
            assert!(
                matches!(value(text, BODY), Err(Unevaluated::Missing)),
                "{text}: {:?}",
                value(text, BODY)
            );
        }
        for text in ["body.ref > 1", "body.ref + 1 == 2"] {
            assert!(
                matches!(value(text, BODY), Err(Unevaluated::Broken(_))),
                "{text}: {:?}",
                value(text, BODY)
            );
        }
    }

    #[test]
    fn a_field_of_something_that_has_none_is_missing_too() {
        for (text, body) in [
            ("body.none.deeper == 1", BODY),
            ("body.ref.deeper == 1", BODY),
            ("body.size.deeper == 1", BODY),
            ("body.commits.deeper == 1", BODY),
            ("body.ref == 'x'", "no json"),
            ("body.ref == 'x'", "[]"),
            ("body.ref == 'x'", "7"),
        ] {
            let found = value(text, body);
            assert!(
                matches!(found, Err(Unevaluated::Missing)),
                "{text} of {body:.20}: {found:?}"
            );
        }
        assert_eq!(value("body == null", "no json"), Ok(Value::Bool(true)));
    }

    #[test]
    fn what_does_not_compile_is_refused_with_its_reason() {
        for text in [
            "",
            "event ==",
            "event == 'push",
            "1 +",
            "(",
            "événement == 1",
            "\u{0}",
        ] {
            assert!(Expression::compile(text).is_err(), "{text:?}");
        }
        for (text, name) in [
            ("evnt == 'push'", "evnt"),
            ("event == 'nothing' && evnt == 'push'", "evnt"),
            ("body.a.all(x, y == 1)", "y"),
            ("[x]", "x"),
            ("{1: x}", "x"),
            ("lower(event) == 'push'", "lower"),
        ] {
            let error = Expression::compile(text).unwrap_err();
            assert!(error.contains(name), "{error}");
        }
        let deep = format!("{}1{}", "(".repeat(5000), ")".repeat(5000));
        assert!(Expression::compile(&deep).is_err());
    }

    #[test]
    fn hostile_bodies_end_in_a_value_or_an_error() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let nested = format!("{}1{}", "{\"a\":".repeat(120), "}".repeat(120));
        let numbers =
            "[1e400,-1e400,1e-400,99999999999999999999999999,-9223372036854775808,9223372036854775807]";
        for body in [
            &deep,
            &nested,
            numbers,
            "{\"a\":\"\\ud800\"}",
            "{\"a\":1,\"a\":2}",
            "\u{feff}{}",
            "",
        ] {
            for text in [
                "body == body",
                "body[0] == 1",
                "size(body) > 0",
                "body.a.a.a == 1",
                "body.map(x, x)[0] == 1",
                "string(body) == ''",
                "body[5] + 1 > 0",
                "body[4] / -1 > 0",
                "-body[4] > 0",
                "double(body[3]) > 0.0 && int(body[3]) > 0",
            ] {
                let _ = value(text, body);
            }
        }
    }

    #[test]
    fn an_evaluation_ends_when_its_time_is_over() {
        let many = format!("[{}1]", "1,".repeat(5000));
        let text = "body.all(a, body.all(b, body.all(c, a + b + c < 0 || true)))";
        let expression = Expression::compile(text).unwrap();
        let (begun, time) = (Instant::now(), Duration::from_millis(50));
        let ended = expression.value(&received(), Some(many.as_bytes()), time);
        assert_eq!(ended, Err(Unevaluated::Late(time)));
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    }

    #[test]
    fn an_evaluation_that_fills_the_memory_ends() {
        let body = format!(
            r#"{{"name":"{}","items":[{}1]}}"#,
            "n".repeat(500_000),
            "1,".repeat(20_000)
        );
        let mut expression = Expression::compile("size(body.items.map(i, body.name + 'x')) > 0").unwrap();
        expression.memory_bytes = 256 << 20;
        let ended = expression.value(&received(), Some(body.as_bytes()), Duration::from_secs(60));
        assert!(
            matches!(&ended, Err(Unevaluated::Broken(why)) if why.contains("memory")),
            "{ended:?}"
        );
    }

    #[test]
    fn the_body_is_read_only_for_those_that_ask() {
        assert!(Expression::compile("body.a == 1").unwrap().asks_for_body());
        assert!(!Expression::compile("event == 'body'").unwrap().asks_for_body());
    }
}
