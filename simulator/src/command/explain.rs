//! `simulate explain`: what a mutant does wrong, as a sequence of messages.

use std::process::ExitCode;

use clap::Args;
use simulator::{Entry, book, entries};

use super::mutants::paxos_is_mutable;

#[derive(Args)]
pub(super) struct Arguments {
    /// The mutant.
    #[arg(value_name = "MUTANT", required_unless_present = "book")]
    mutant: Option<String>,
    /// As a Mermaid sequence diagram.
    #[arg(long)]
    mermaid: bool,
    /// All of them: prints docs/paxos-made-wrong.md.
    #[arg(long, conflicts_with_all = ["mutant", "mermaid"])]
    book: bool,
}

pub(super) fn execute(arguments: &Arguments) -> ExitCode {
    if !paxos_is_mutable() {
        eprintln!("The core of this build cannot be made wrong. Build it so:");
        eprintln!("  cargo run --release -p simulator --features mutants -- explain NAME");
        return ExitCode::from(2);
    }
    let told = match &arguments.mutant {
        None => book(),
        Some(name) => explain(name, arguments.mermaid),
    };
    match told {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn explain(name: &str, mermaid: bool) -> Result<String, String> {
    let entry = Entry::named(name).ok_or_else(|| {
        let names: Vec<_> = entries()
            .map(|entry| format!("  {:<26} {}", entry.name, entry.title))
            .collect();
        format!("there is no mutant {name}; there are:\n{}", names.join("\n"))
    })?;
    let story = match entry.scene()? {
        None => None,
        Some(_) => Some(entry.play()?.story),
    };
    if mermaid {
        return story
            .map(|story| story.mermaid())
            .ok_or_else(|| format!("{name} has no short story; `simulate explain {name}` says why"));
    }
    let rule = entry.mutant().map_or("", simulator::Mutant::rule);
    let story = story.map_or(String::new(), |story| format!("\n{}", story.text()));
    Ok(format!(
        "{} ({name}, breaks {rule})\n\n{}\n{story}\n{}\n",
        entry.title, entry.change, entry.outcome
    ))
}
