//! Makes jq programs stoppable. jaq runs a program to its end, however long that takes and however deep it goes; so before a
//! program is compiled, a call of [`TICK`] is put wherever it could go round: into the body of every definition, behind
//! every pipe, into branches, arguments and folds. The tick ends a run whose time, steps, stack or memory are used up, by
//! unwinding: an error could be caught by the program's own `try`.
//!
//! Products are replaced by calls of [`PRODUCT`], which refuses a text repeated too often before it is made: where a body
//! has a text instead of a price, `.price * .quantity` would ask for more memory than there is, and end the process.
//!
//! Before each `fromjson` there is a call of [`READABLE`], which fails for a text that takes too much to read.
//!
//! Not bounded by this: one call of another native filter, such as a `sort`, and the memory it takes.

use std::cell::Cell;
use std::panic::resume_unwind;
use std::time::{Duration, Instant};

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Def, Pattern, Term};
use jaq_core::native::{Fun, bome, run, v};
use jaq_core::ops::Math;
use jaq_core::path::{Part, Path};
use jaq_json::{Num, Val};

use super::memory::Growth;
use super::shape::{DEPTH_MAX, DIGITS_MAX, is_readable};
use super::transform::Data;

/// The name of the call; no program can say it.
const TICK: &str = "!tick";
/// The variable that takes what it gives; no program can say it either.
const IGNORED: &str = "$!";

/// The name of the filter that multiplies, and of the variable that holds a factor; no program can say them either.
const PRODUCT: &str = "!product";
const FACTOR: &str = "$!factor";

/// The filter of jaq that reads JSON in a text, and the name of the one before it.
const READER: &str = "fromjson";
const READABLE: &str = "!readable";

/// What a run may use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fuel {
    pub(crate) time: Duration,
    pub(crate) steps: u64,
    pub(crate) stack_bytes: usize,
    /// How much the process may grow.
    pub(crate) memory_bytes: u64,
    /// The longest text that a product makes.
    pub(crate) text_bytes: usize,
}

/// How much stack it takes to drop one level of a nested value, in bytes: values are dropped one frame in the other.
const DROP_BYTES: u64 = 144;

impl Fuel {
    /// The stack that a thread needs for a run: what the program may use, and what the deepest value does that it could
    /// make, at two steps a level. Most of it is never touched.
    pub(crate) fn thread_bytes(self) -> usize {
        let dropping = self.steps.saturating_mul(DROP_BYTES);
        self.stack_bytes
            .saturating_add(usize::try_from(dropping).unwrap_or(0))
    }
}

/// What a run used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UsedUp {
    Time,
    Steps,
    Stack,
    Memory,
    Text,
}

#[derive(Clone, Copy)]
struct Gauge {
    until: Instant,
    steps: u64,
    /// Address of the stack where the run began, and how far it may go from there.
    base: usize,
    stack_bytes: usize,
    growth: Growth,
    text_bytes: usize,
}

thread_local! {
    static GAUGE: Cell<Option<Gauge>> = const { Cell::new(None) };
}

/// Fills the tank of this thread, for one run.
pub(crate) fn fill(fuel: Fuel) {
    let here = 0_u8;
    GAUGE.set(Some(Gauge {
        until: Instant::now() + fuel.time,
        steps: fuel.steps,
        base: std::ptr::from_ref(&here) as usize,
        stack_bytes: fuel.stack_bytes,
        growth: Growth::of(fuel.memory_bytes),
        text_bytes: fuel.text_bytes,
    }));
}

fn tick() {
    let here = 0_u8;
    let Some(mut gauge) = GAUGE.get() else {
        return;
    };
    gauge.steps = gauge.steps.saturating_sub(1);
    let now = gauge.steps.is_multiple_of(64).then(Instant::now);
    let used_up = if gauge.base.abs_diff(std::ptr::from_ref(&here) as usize) > gauge.stack_bytes {
        Some(UsedUp::Stack)
    } else if gauge.steps == 0 {
        Some(UsedUp::Steps)
    } else if now.is_some_and(|now| now > gauge.until) {
        Some(UsedUp::Time)
    } else if now.is_some_and(|now| gauge.growth.is_over(now)) {
        Some(UsedUp::Memory)
    } else {
        None
    };
    GAUGE.set(Some(gauge));
    if let Some(used_up) = used_up {
        stop(used_up);
    }
}

fn stop(used_up: UsedUp) {
    // The unwinding itself must not tick.
    GAUGE.set(None);
    resume_unwind(Box::new(used_up));
}

/// The native filters behind the ticks and the products.
pub(crate) fn filters() -> [Fun<Data>; 3] {
    let tick = run((TICK, v(0), |_| {
        tick();
        bome(Ok(Val::Null))
    }));
    let product = run((PRODUCT, v(2), |mut cv| {
        let right = cv.0.pop_var();
        let left = cv.0.pop_var();
        bome(product(left, right))
    }));
    let readable = run((READABLE, v(0), |cv| bome(readable(cv.1))));
    [tick, product, readable]
}

/// A text itself if it may be read, and whatever is no text.
fn readable(value: Val) -> Result<Val, jaq_json::Error> {
    let may_be_read = match &value {
        Val::BStr(text) => is_readable(text),
        Val::TStr(text) => is_readable(text),
        Val::Null | Val::Bool(_) | Val::Num(_) | Val::Arr(_) | Val::Obj(_) => true,
    };
    if may_be_read {
        return Ok(value);
    }
    let why =
        format!("no JSON, nested beyond {DEPTH_MAX}, or with a number of more than {DIGITS_MAX} digits");
    Err(jaq_json::Error::str(why))
}

fn product(left: Val, right: Val) -> Result<Val, jaq_json::Error> {
    let text_bytes_max = GAUGE.get().map_or(usize::MAX, |gauge| gauge.text_bytes);
    if repeated_bytes(&left, &right) > text_bytes_max {
        stop(UsedUp::Text);
    }
    left * right
}

/// How long the product of a text and a number is, in bytes; 0 for all other products.
fn repeated_bytes(left: &Val, right: &Val) -> usize {
    match (left, right) {
        (Val::BStr(text), Val::Num(times)) | (Val::Num(times), Val::BStr(text)) => {
            text.len().saturating_mul(whole(times))
        }
        (Val::TStr(text), Val::Num(times)) | (Val::Num(times), Val::TStr(text)) => {
            text.len().saturating_mul(whole(times))
        }
        _ => 0,
    }
}

/// How often a number repeats a text; those that repeat none are errors.
fn whole(times: &Num) -> usize {
    match times {
        Num::Int(times) => usize::try_from(*times).unwrap_or(0),
        Num::BigInt(times) if **times > Default::default() => usize::MAX,
        Num::BigInt(_) | Num::Float(_) | Num::Dec(_) => 0,
    }
}

/// A definition with its ticks.
pub(crate) fn metered(def: Def<&str>) -> Def<&str> {
    Def {
        name: def.name,
        args: def.args,
        body: ticking(term(def.body)),
    }
}

/// `!tick as $! | term`: the term is evaluated as before, in paths and updates too, and calls in tail position stay there.
fn ticking(term: Term<&str>) -> Term<&str> {
    let tick = Term::Call(TICK, Vec::new());
    let pattern = Some(Pattern::Var(IGNORED));
    Term::BinOp(Box::new(tick), BinaryOp::Pipe(pattern), Box::new(term))
}

/// `term | !tick as $! | .`: each of its outputs ticks.
fn counted(term: Term<&str>) -> Term<&str> {
    let each = Box::new(ticking(Term::Id));
    Term::BinOp(Box::new(term), BinaryOp::Pipe(None), each)
}

fn term(of: Term<&str>) -> Term<&str> {
    match of {
        plain @ (Term::Id | Term::Recurse | Term::Num(_) | Term::Break(_) | Term::Var(_)) => plain,
        Term::Str(format, parts) => Term::Str(format, parts.into_iter().map(part_of_text).collect()),
        Term::Arr(items) => Term::Arr(items.map(|items| Box::new(counted(term(*items))))),
        Term::Obj(fields) => {
            let field = |(key, value): (_, Option<_>)| (term(key), value.map(term));
            Term::Obj(fields.into_iter().map(field).collect())
        }
        Term::Neg(inner) => Term::Neg(Box::new(term(*inner))),
        Term::BinOp(left, op, right) => binary(*left, op, *right),
        Term::Label(name, inner) => Term::Label(name, Box::new(term(*inner))),
        Term::Fold(kind, items, pattern, args) => Term::Fold(
            kind,
            Box::new(counted(term(*items))),
            self::pattern(pattern),
            args.into_iter().map(term).collect(),
        ),
        Term::TryCatch(inner, catch) => Term::TryCatch(
            Box::new(counted(term(*inner))),
            catch.map(|catch| Box::new(ticking(term(*catch)))),
        ),
        Term::IfThenElse(branches, otherwise) => {
            let branch = |(test, then)| (term(test), ticking(term(then)));
            let otherwise = otherwise.map(|otherwise| Box::new(ticking(term(*otherwise))));
            Term::IfThenElse(branches.into_iter().map(branch).collect(), otherwise)
        }
        Term::Def(defs, inner) => Term::Def(defs.into_iter().map(metered).collect(), Box::new(term(*inner))),
        Term::Call(READER, args) if args.is_empty() => {
            let readable = Box::new(Term::Call(READABLE, Vec::new()));
            Term::BinOp(readable, BinaryOp::Pipe(None), Box::new(Term::Call(READER, args)))
        }
        Term::Call(name, args) => Term::Call(name, args.into_iter().map(argument).collect()),
        Term::Path(inner, Path(parts)) => {
            let part = |(part, optional)| (part_of_path(part), optional);
            Term::Path(
                Box::new(term(*inner)),
                Path(parts.into_iter().map(part).collect()),
            )
        }
    }
}

fn binary<'s>(left: Term<&'s str>, op: BinaryOp<&'s str>, right: Term<&'s str>) -> Term<&'s str> {
    let (left, right) = (term(left), term(right));
    let (op, right) = match op {
        BinaryOp::Math(Math::Mul) => return Term::Call(PRODUCT, vec![left, right]),
        BinaryOp::UpdateMath(Math::Mul) => return multiplied(left, right),
        BinaryOp::Pipe(named) => (BinaryOp::Pipe(named.map(pattern)), ticking(right)),
        other @ (BinaryOp::Comma
        | BinaryOp::Alt
        | BinaryOp::Or
        | BinaryOp::And
        | BinaryOp::Math(_)
        | BinaryOp::Cmp(_)
        | BinaryOp::Assign
        | BinaryOp::Update
        | BinaryOp::UpdateMath(_)
        | BinaryOp::UpdateAlt) => (other, right),
    };
    Term::BinOp(Box::new(left), op, Box::new(right))
}

/// `right as $!factor | left |= !product(.; $!factor)`, which is what `left *= right` does.
fn multiplied<'s>(left: Term<&'s str>, right: Term<&'s str>) -> Term<&'s str> {
    let product = Term::Call(PRODUCT, vec![Term::Id, Term::Var(FACTOR)]);
    let update = Term::BinOp(Box::new(left), BinaryOp::Update, Box::new(product));
    let factor = BinaryOp::Pipe(Some(Pattern::Var(FACTOR)));
    Term::BinOp(Box::new(right), factor, Box::new(update))
}

/// Constants can't go round, and what a name without arguments means ticks where it is defined. To wrap it here would nest
/// it once more at each call of a recursion that hands it on.
fn argument(of: Term<&str>) -> Term<&str> {
    let named = matches!(&of, Term::Call(name, args) if args.is_empty() && *name != READER);
    if named || matches!(of, Term::Id | Term::Num(_) | Term::Var(_)) {
        of
    } else {
        counted(term(of))
    }
}

fn pattern(of: Pattern<&str>) -> Pattern<&str> {
    match of {
        Pattern::Var(name) => Pattern::Var(name),
        Pattern::Arr(items) => Pattern::Arr(items.into_iter().map(pattern).collect()),
        Pattern::Obj(fields) => {
            let field = |(key, value)| (term(key), pattern(value));
            Pattern::Obj(fields.into_iter().map(field).collect())
        }
    }
}

fn part_of_text<'s>(part: StrPart<&'s str, Term<&'s str>>) -> StrPart<&'s str, Term<&'s str>> {
    match part {
        StrPart::Term(inner) => StrPart::Term(term(inner)),
        StrPart::Str(text) => StrPart::Str(text),
        StrPart::Char(c) => StrPart::Char(c),
    }
}

fn part_of_path(part: Part<Term<&str>>) -> Part<Term<&str>> {
    match part {
        Part::Index(index) => Part::Index(argument(index)),
        Part::Range(from, to) => Part::Range(from.map(argument), to.map(argument)),
    }
}
