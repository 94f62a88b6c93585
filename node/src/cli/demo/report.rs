//! What was measured, beside what was predicted.

use std::{fmt::Write, time::Duration};

use tabled::{
    builder::Builder,
    settings::{Alignment, Style, object::Columns},
};

use super::{
    measure::Sample,
    plan::{Plan, PlannedNode},
};

/// One quorum system's figures.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) system: String,
    pub(super) leader: PlannedNode,
    pub(super) samples: Vec<Sample>,
}

/// The table of all systems side by side, and what it shows in a sentence.
pub(super) fn report(plan: &Plan, measured: &[Measured], samples: usize) -> String {
    let mut builder = Builder::default();
    let mut header = vec!["clients in".to_owned()];
    for one in measured {
        for what in ["write", "read", "predicted"] {
            header.push(format!("{}\n{what}, ms", one.system));
        }
    }
    builder.push_record(header);
    for (at, region) in plan.regions.iter().enumerate() {
        let mut row = vec![region.clone()];
        if measured.iter().any(|one| one.samples[at].leads) {
            row[0].push_str(" (leader)");
        }
        for sample in measured.iter().map(|one| &one.samples[at]) {
            row.extend([sample.write, sample.read, sample.predicted].map(milliseconds));
        }
        builder.push_record(row);
    }
    let mut table = builder.build();
    table.with(Style::sharp()).modify(Columns::new(1..), Alignment::right());

    let mut text = format!("{table}\n");
    let network = if plan.table.is_some() {
        "round trips between regions"
    } else {
        "no delay between regions"
    };
    writeln!(
        text,
        "Medians of {samples} requests each, one at a time, through the etcd API; {network}."
    )
    .expect("a String takes everything");
    text.push_str("Predicted: round trip to the leader, plus the leader's round trip to its nearest phase 2 quorum.\n");
    for one in measured {
        if one.leader.region != plan.regions[0] {
            writeln!(
                text,
                "Under {} the leader is node {} in {}.",
                one.system, one.leader.node, one.leader.region
            )
            .expect("a String takes everything");
        }
    }
    if let [before, after] = measured {
        let (slow, fast) = (home(before), home(after));
        if let Some((slow, fast)) = slow.zip(fast)
            && fast < slow
        {
            writeln!(
                text,
                "Writes beside the leader: {} ms under {}, {} ms under {}: {:.0} times as fast.",
                milliseconds(slow),
                before.system,
                milliseconds(fast),
                after.system,
                slow.as_secs_f64() / fast.as_secs_f64(),
            )
            .expect("a String takes everything");
        }
    }
    text
}

/// What a write beside the leader takes.
fn home(measured: &Measured) -> Option<Duration> {
    measured
        .samples
        .iter()
        .find(|sample| sample.leads)
        .map(|sample| sample.write)
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1e3)
}

/// How to talk to the cluster that stays up.
pub(super) fn invitation(plan: &Plan, leader: &PlannedNode) -> String {
    let mut text = String::from("The cluster stays up until Ctrl-C. Try, from the point of view of each region:\n");
    for region in &plan.regions {
        let node = plan.nearest(region, leader);
        writeln!(
            text,
            "  etcdctl --endpoints 127.0.0.1:{} put greeting hello    # {region}",
            node.clients
        )
        .expect("a String takes everything");
    }
    let endpoints: Vec<String> = plan
        .nodes
        .iter()
        .map(|node| format!("--endpoint 127.0.0.1:{}", node.http))
        .collect();
    writeln!(text, "  synod status {}", endpoints.join(" ")).expect("a String takes everything");
    text
}
