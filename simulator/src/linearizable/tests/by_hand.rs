//! Small histories whose verdict everybody sees, and what is said of the wrong ones.

use super::{history, op};
use crate::linearizable::list::{self, Elements, List};
use crate::linearizable::register::{Compare, Content, Held, Op, Register, Reply};
use crate::linearizable::{History, Verdict, check};

fn held(value: u64, version: u64) -> Reply {
    Reply::Got(Content(Some(Held { value, version })))
}

const NOTHING: Reply = Reply::Got(Content(None));

#[test]
fn a_read_may_see_a_write_that_is_under_way_and_then_nobody_may_miss_it() {
    let put = op::<Register>(0, 1, Op::Put(7), 10, Some((50, Reply::Done)));
    let sees = op(0, 2, Op::Get, 20, Some((25, held(7, 1))));
    let misses = op(0, 3, Op::Get, 30, Some((35, NOTHING)));
    let overlaps = op(0, 3, Op::Get, 25, Some((35, NOTHING)));
    assert_eq!(
        check(&history(&[put.clone(), sees.clone()]), 100).verdict,
        Verdict::Linearizable
    );
    assert_eq!(
        check(&history(&[put.clone(), sees.clone(), overlaps]), 100).verdict,
        Verdict::Linearizable
    );
    let report = check(&history(&[put, sees, misses]), 100);
    let expected = "\
not linearizable: no order explains what was seen of b\"a\" (3 operations (0 unknown) on 1 keys, 4 steps)
before: nothing
        10 ..          client 1: put 7 -> (unknown)
        20 .. 25       client 2: get -> 7 (version 1)
        30 .. 35       client 3: get -> nothing";
    assert_eq!(report.to_string(), expected);
}

#[test]
fn an_unknown_write_may_happen_late_or_never_but_not_twice() {
    let put = op::<Register>(0, 1, Op::Put(7), 10, None);
    let before = op(0, 2, Op::Get, 20, Some((21, NOTHING)));
    let after = op(0, 2, Op::Get, 30, Some((31, held(7, 1))));
    let lost = op(0, 2, Op::Get, 40, Some((41, NOTHING)));
    let twice = op(0, 2, Op::Get, 40, Some((41, held(7, 2))));
    let verdict = |operations: &[_]| check(&history(operations), 100).verdict;
    assert_eq!(verdict(&[put.clone(), before.clone()]), Verdict::Linearizable);
    assert_eq!(
        verdict(&[put.clone(), before.clone(), after.clone()]),
        Verdict::Linearizable
    );
    assert!(matches!(
        verdict(&[put.clone(), after.clone(), lost]),
        Verdict::NotLinearizable(..)
    ));
    assert!(matches!(verdict(&[put, after, twice]), Verdict::NotLinearizable(..)));
}

#[test]
fn the_window_begins_where_things_were_quiet() {
    let mut operations = vec![op::<Register>(0, 9, Op::Put(500), 1, None)];
    for put in 0..100 {
        let at = 10 * (put + 1);
        operations.push(op(0, 1, Op::Put(put), at, Some((at + 5, Reply::Done))));
        operations.push(op(0, 2, Op::Get, at + 6, Some((at + 8, held(put, put + 1)))));
    }
    // Two transactions on one version, both done; and a read beside them that is in nobody's way.
    let both = |client, value| {
        op(
            0,
            client,
            Op::CompareAndPut(Compare::Version(100), value),
            2000,
            Some((2005, Reply::Compared(true))),
        )
    };
    operations.extend([
        both(3, 301),
        both(4, 302),
        op(0, 5, Op::Get, 2000, Some((2002, held(99, 100)))),
    ]);
    operations.push(op(0, 1, Op::Put(999), 3000, Some((3001, Reply::Done))));
    let Verdict::NotLinearizable(_, window) = check(&history(&operations), 1_000_000).verdict else {
        panic!("two transactions cannot both have won")
    };
    let expected = "\
before: 99 (version 100)
         1 ..          client 9: put 500 -> (unknown)
      2000 .. 2005     client 3: put 301 if its version is 100 -> done
      2000 .. 2005     client 4: put 302 if its version is 100 -> done";
    assert_eq!(window.to_string(), expected);
}

#[test]
fn a_list_shows_what_was_done_twice() {
    let append = |element, at| op::<List>(0, 1, list::Op::Append(element), at, Some((at + 5, list::Reply::Done)));
    let read = |found: &[u64]| {
        op(
            0,
            2,
            list::Op::Read,
            100,
            Some((105, list::Reply::Found(Elements(found.to_vec())))),
        )
    };
    let verdict = |found: &[u64]| check(&history(&[append(1, 10), append(2, 20), read(found)]), 100).verdict;
    assert_eq!(verdict(&[1, 2]), Verdict::Linearizable);
    for wrong in [&[1, 2, 1][..], &[2, 1], &[1], &[2], &[]] {
        assert!(matches!(verdict(wrong), Verdict::NotLinearizable(..)), "{wrong:?}");
    }
}

#[test]
fn a_limit_that_is_too_low_is_no_pass() {
    let puts: Vec<_> = (0..12)
        .map(|put| op::<Register>(0, put, Op::Put(put), 1, Some((100, Reply::Done))))
        .collect();
    let wrong = op(0, 90, Op::Get, 200, Some((201, held(77, 12))));
    let operations: Vec<_> = puts.into_iter().chain([wrong]).collect();
    let report = check(&history(&operations), 1000);
    assert_eq!(report.verdict, Verdict::Undecided(vec!["a".into()]));
    assert_eq!(report.steps, 1000);
    assert!(matches!(
        check(&history(&operations), 10_000_000).verdict,
        Verdict::NotLinearizable(..)
    ));
}

#[test]
fn what_is_refused_was_not_done_and_unknown_reads_say_nothing() {
    let mut history = History::<Register>::default();
    let refused = history.call(1, "a".into(), Op::Put(1), 0);
    history.refuse(refused);
    history.call(2, "a".into(), Op::Get, 0);
    let read = history.call(3, "a".into(), Op::Get, 5);
    history.answer(read, held(1, 1), 6);
    let report = check(&history, 100);
    assert_eq!((report.operations, report.unknown), (1, 0));
    assert!(matches!(report.verdict, Verdict::NotLinearizable(..)));
}
