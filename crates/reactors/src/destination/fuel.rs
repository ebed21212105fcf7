//! Makes jq programs stoppable. jaq runs a program to its end, however long that takes and however deep it goes; so before a
//! program is compiled, a call of [`TICK`] is put wherever it could go round: into the body of every definition, behind
//! every pipe, into branches, arguments and folds. The tick ends a run whose time, steps or stack are used up, by unwinding:
//! an error could be caught by the program's own `try`.
//!
//! Not bounded by this: one call of a native filter, such as a `sort` or a product of strings, and the memory it takes.

use std::cell::Cell;
use std::panic::resume_unwind;
use std::time::{Duration, Instant};

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Def, Pattern, Term};
use jaq_core::native::{Fun, bome, run, v};
use jaq_core::path::{Part, Path};
use jaq_json::Val;

use super::transform::Data;

/// The name of the call; no program can say it.
const TICK: &str = "!tick";
/// The variable that takes what it gives; no program can say it either.
const IGNORED: &str = "$!";

/// What a run may use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fuel {
    pub(crate) time: Duration,
    pub(crate) steps: u64,
    pub(crate) stack_bytes: usize,
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
}

#[derive(Clone, Copy)]
struct Gauge {
    until: Instant,
    steps: u64,
    /// Address of the stack where the run began, and how far it may go from there.
    base: usize,
    stack_bytes: usize,
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
    }));
}

fn tick() {
    let here = 0_u8;
    let Some(mut gauge) = GAUGE.get() else {
        return;
    };
    gauge.steps = gauge.steps.saturating_sub(1);
    GAUGE.set(Some(gauge));
    let used_up = if gauge.base.abs_diff(std::ptr::from_ref(&here) as usize) > gauge.stack_bytes {
        UsedUp::Stack
    } else if gauge.steps == 0 {
        UsedUp::Steps
    } else if gauge.steps.is_multiple_of(64) && Instant::now() > gauge.until {
        UsedUp::Time
    } else {
        return;
    };
    // The unwinding itself must not tick.
    GAUGE.set(None);
    resume_unwind(Box::new(used_up));
}

/// The native filter behind the ticks.
pub(crate) fn filter() -> Fun<Data> {
    run((TICK, v(0), |_| {
        tick();
        bome(Ok(Val::Null))
    }))
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

/// Constants can't go round, and what a name without arguments means ticks where it is defined. To wrap it here would nest
/// it once more at each call of a recursion that hands it on.
fn argument(of: Term<&str>) -> Term<&str> {
    let named = matches!(&of, Term::Call(_, args) if args.is_empty());
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
