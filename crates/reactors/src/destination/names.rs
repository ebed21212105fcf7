//! The names in an expression that nothing gives a meaning to: a misspelt one would otherwise show only on the first
//! delivery that gets as far as that.

use cel::common::ast::{EntryExpr, Expr, IdedExpr};

/// The types, which expressions may name as well.
const TYPES: [&str; 11] = [
    "bool",
    "bytes",
    "double",
    "dyn",
    "int",
    "list",
    "map",
    "null_type",
    "string",
    "type",
    "uint",
];

/// The first name that is neither known nor bound by a macro around it.
pub(crate) fn unknown<'e>(expression: &'e IdedExpr, known: &[&str]) -> Option<&'e str> {
    let mut search = Search {
        bound: Vec::new(),
        known,
    };
    search.within(expression)
}

struct Search<'e, 'k> {
    bound: Vec<&'e str>,
    known: &'k [&'k str],
}

impl<'e> Search<'e, '_> {
    fn within(&mut self, expression: &'e IdedExpr) -> Option<&'e str> {
        match &expression.expr {
            Expr::Unspecified | Expr::Literal(_) => None,
            Expr::Ident(name) => (!self.has(name)).then_some(name),
            Expr::Select(select) => self.within(&select.operand),
            Expr::Call(call) => {
                let target = call.target.as_deref().and_then(|target| self.within(target));
                target.or_else(|| call.args.iter().find_map(|arg| self.within(arg)))
            }
            Expr::List(list) => list.elements.iter().find_map(|item| self.within(item)),
            Expr::Map(map) => map.entries.iter().find_map(|entry| self.entry(&entry.expr)),
            Expr::Struct(fields) => fields.entries.iter().find_map(|entry| self.entry(&entry.expr)),
            Expr::Comprehension(comprehension) => {
                let outside = [&comprehension.iter_range, &comprehension.accu_init];
                if let Some(name) = outside.into_iter().find_map(|part| self.within(part)) {
                    return Some(name);
                }
                let before = self.bound.len();
                self.bound.push(&comprehension.iter_var);
                self.bound.extend(comprehension.iter_var2.as_deref());
                self.bound.push(&comprehension.accu_var);
                let inside = [
                    &comprehension.loop_cond,
                    &comprehension.loop_step,
                    &comprehension.result,
                ];
                let found = inside.into_iter().find_map(|part| self.within(part));
                self.bound.truncate(before);
                found
            }
        }
    }

    fn entry(&mut self, entry: &'e EntryExpr) -> Option<&'e str> {
        match entry {
            EntryExpr::StructField(field) => self.within(&field.value),
            EntryExpr::MapEntry(entry) => self.within(&entry.key).or_else(|| self.within(&entry.value)),
        }
    }

    fn has(&self, name: &str) -> bool {
        // What begins with @ is made by macros.
        name.starts_with('@')
            || [self.known, &self.bound, &TYPES]
                .into_iter()
                .any(|names| names.contains(&name))
    }
}
