//! TOML whose values know their lines.

use config::{Map, Value, ValueKind};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::Fault;

/// Reads a text; `name` is what faults call it. What is sound is returned beside the faults of what is not.
pub(crate) fn parse(name: &str, text: &str) -> (Map<String, Value>, Vec<Fault>) {
    let lines = Lines {
        name,
        starts: line_starts(text),
    };
    let (table, errors) = DeTable::parse_recoverable(text);
    let faults = errors
        .iter()
        .map(|error| {
            let at = error.span().map_or(0, |span| span.start);
            Fault::new(&lines.origin(at), "", format!("not TOML: {}", error.message()))
        })
        .collect();
    (lines.table(table.get_ref()), faults)
}

/// A value of the file as the plain TOML value that serde reads. Where the value came from is lost.
pub(crate) fn plain(value: &Value) -> toml::Value {
    match &value.kind {
        ValueKind::Nil => toml::Value::String(String::new()),
        ValueKind::Boolean(flag) => toml::Value::Boolean(*flag),
        ValueKind::I64(number) => toml::Value::Integer(*number),
        ValueKind::I128(number) => toml::Value::String(number.to_string()),
        ValueKind::U64(number) => {
            i64::try_from(*number).map_or_else(|_| toml::Value::String(number.to_string()), toml::Value::Integer)
        }
        ValueKind::U128(number) => toml::Value::String(number.to_string()),
        ValueKind::Float(number) => toml::Value::Float(*number),
        ValueKind::String(text) => toml::Value::String(text.clone()),
        ValueKind::Array(items) => toml::Value::Array(items.iter().map(plain).collect()),
        ValueKind::Table(table) => {
            toml::Value::Table(table.iter().map(|(key, value)| (key.clone(), plain(value))).collect())
        }
    }
}

struct Lines<'a> {
    name: &'a str,
    starts: Vec<usize>,
}

fn line_starts(text: &str) -> Vec<usize> {
    let breaks = text
        .bytes()
        .enumerate()
        .filter(|(_, byte)| *byte == b'\n')
        .map(|(at, _)| at + 1);
    std::iter::once(0).chain(breaks).collect()
}

impl Lines<'_> {
    fn origin(&self, at: usize) -> String {
        let line = self.starts.partition_point(|start| *start <= at);
        format!("{} line {line}", self.name)
    }

    fn table(&self, table: &DeTable<'_>) -> Map<String, Value> {
        table
            .iter()
            .map(|(key, value)| (key.get_ref().to_string(), self.value(value)))
            .collect()
    }

    fn value(&self, value: &Spanned<DeValue<'_>>) -> Value {
        let kind = match value.get_ref() {
            DeValue::String(text) => ValueKind::String(text.to_string()),
            DeValue::Boolean(flag) => ValueKind::Boolean(*flag),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or_else(|_| ValueKind::String(number.as_str().to_owned()), ValueKind::I64),
            DeValue::Float(number) => number
                .as_str()
                .parse()
                .map_or_else(|_| ValueKind::String(number.as_str().to_owned()), ValueKind::Float),
            DeValue::Datetime(time) => ValueKind::String(time.to_string()),
            DeValue::Array(items) => ValueKind::Array(items.iter().map(|item| self.value(item)).collect()),
            DeValue::Table(table) => ValueKind::Table(self.table(table)),
        };
        Value::new(Some(&self.origin(value.span().start)), kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_know_their_lines_and_errors_theirs() {
        let (values, faults) = parse("f", "a = 1\n\n[b]\nc = \"x\"\n[[d]]\ne = 2\n");
        assert_eq!(faults, []);
        assert_eq!(values["a"].origin(), Some("f line 1"));
        let ValueKind::Table(b) = &values["b"].kind else {
            panic!("a table")
        };
        assert_eq!(b["c"].origin(), Some("f line 4"));
        let ValueKind::Array(d) = &values["d"].kind else {
            panic!("an array")
        };
        assert_eq!(d[0].origin(), Some("f line 5"));

        let (_, faults) = parse("f", "a = \nb = 1\nc = }\n");
        let mut lines: Vec<_> = faults.iter().map(|fault| fault.line).collect();
        lines.sort_unstable();
        assert_eq!(lines, [1, 3], "{faults:?}");
    }
}
