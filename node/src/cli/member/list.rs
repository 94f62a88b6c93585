//! `synod member list`.

use clap::Args;
use serde_json::{Value, json};
use tabled::builder::Builder;
use tabled::settings::Style;

use crate::cli::Format;
use crate::cli::quorum::live::{Endpoints, Live};

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    whom: Endpoints,
    /// How to print the result
    #[arg(short, long, value_enum, default_value = "table")]
    output: Format,
}

pub(super) fn run(list: &List) -> Result<(), String> {
    let live = Live::ask(&list.whom)?;
    match list.output {
        Format::Table => {
            let mut table = Builder::default();
            table.push_record([
                "node",
                "name",
                "region",
                "role",
                "incarnation",
                "peers reach it at",
                "chosen",
            ]);
            for member in live.newest().members() {
                table.push_record([
                    member.node.to_string(),
                    member.name.clone(),
                    member.region.clone(),
                    member.role.to_string(),
                    member.incarnation.to_string(),
                    member.address.clone(),
                    chosen(&live, member.node.0).map_or_else(|| "not known".to_owned(), |slot| slot.to_string()),
                ]);
            }
            println!("{}", table.build().with(Style::sharp()));
            println!(
                "epoch {}; \"chosen\" as the leader or the node itself says, if it was asked",
                live.newest().epoch()
            );
        }
        Format::Json => {
            let members = live.newest().members().iter().map(|member| {
                let mut told = json!(member);
                told["chosen"] = json!(chosen(&live, member.node.0));
                told
            });
            println!(
                "{:#}",
                json!({ "epoch": live.newest().epoch(), "members": members.collect::<Vec<Value>>() })
            );
        }
    }
    Ok(())
}

/// How far a node is, by its own word or its leader's.
fn chosen(live: &Live, node: u64) -> Option<u64> {
    let own = live.nodes.iter().find(|(_, status)| status.node == node);
    let own = own.map(|(_, status)| status.chosen);
    own.or_else(|| live.leader()?.member(node)?.chosen)
}
