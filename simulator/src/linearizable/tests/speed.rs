//! How long histories take that are as large as a run's.

use std::time::Instant;

use super::generate::{Shape, corrupt, history, right};
use crate::linearizable::register::Register;
use crate::linearizable::{Verdict, check};
use crate::random::{Concern, Random};

#[test]
fn a_hundred_thousand_operations_are_judged_in_a_moment() {
    let mut random = Random::new(1, Concern::Workload);
    for (keys, unknown) in [(1000, 2), (100, 0), (100, 2), (100, 10)] {
        let shape = Shape {
            operations: 100_000,
            clients: 50,
            keys,
            unknown,
        };
        let mut operations = right::<Register>(&mut random, shape);
        let right = history(operations.clone());
        let begun = Instant::now();
        let report = check(&right, 20_000_000);
        let took = begun.elapsed();
        println!(
            "{report}: {took:?}, {:.0} operations/s",
            report.operations as f64 / took.as_secs_f64()
        );
        assert_eq!(report.verdict, Verdict::Linearizable);
        for _ in 0..30 {
            corrupt(&mut random, &mut operations);
        }
        let begun = Instant::now();
        let report = check(&history(operations), 20_000_000);
        println!("{report}: {:?}", begun.elapsed());
        assert!(matches!(report.verdict, Verdict::NotLinearizable(..)));
    }
}
