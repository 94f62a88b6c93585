//! What happened on the stage, as lines for a reader and as a Mermaid sequence diagram.

use std::fmt::Write;

use super::words::name;
use crate::seat::Seat;

/// One thing that happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Line {
    /// A message arrived.
    Arrow { from: Seat, to: Seat, text: String },
    /// Something happened at a node.
    Note { at: Seat, text: String },
    /// Something became true that no node can see.
    Fact(String),
}

/// A scene that was played.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Story {
    pub(super) nodes: u8,
    pub(super) lines: Vec<Line>,
}

impl Story {
    /// How much there is to read.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether nothing happened.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub(super) fn note(&mut self, at: Seat, text: String) {
        self.lines.push(Line::Note { at, text });
    }

    /// One line for each message, and below it what followed from it.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        for line in &self.lines {
            match line {
                Line::Arrow { from, to, text } => out += &format!("{} -> {}  {text}\n", name(*from), name(*to)),
                Line::Note { at, text } => out += &format!("        {} {text}\n", name(*at)),
                Line::Fact(text) => out += &format!("        * {text}\n"),
            }
        }
        out
    }

    /// A Mermaid sequence diagram.
    #[must_use]
    pub fn mermaid(&self) -> String {
        let mut out = "sequenceDiagram\n".to_owned();
        let mut put = |line: String| {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "    {line}");
        };
        (0..self.nodes).for_each(|seat| put(format!("participant {}", name(Seat(seat)))));
        let everybody = format!("A,{}", name(Seat(self.nodes.saturating_sub(1))));
        let mut lines = self.lines.iter().peekable();
        while let Some(line) = lines.next() {
            match line {
                Line::Arrow { from, to, text } => put(format!("{}->>{}: {text}", name(*from), name(*to))),
                Line::Note { at, text } => {
                    let mut text = text.clone();
                    while let Some(Line::Note { text: more, .. }) =
                        lines.next_if(|next| matches!(next, Line::Note { at: other, .. } if other == at))
                    {
                        text += "<br/>";
                        text += more;
                    }
                    put(format!("Note over {}: {text}", name(*at)));
                }
                Line::Fact(text) => put(format!("Note over {everybody}: {text}")),
            }
        }
        out
    }
}
