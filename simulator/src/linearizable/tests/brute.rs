//! Every order of every choice of operations, tried one after another on all keys at once.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::linearizable::History;
use crate::linearizable::history::Operation;
use crate::linearizable::list::{self, List};
use crate::linearizable::model::Model;
use crate::linearizable::register::{self, Compare, Content, Held, Register};

/// What the operations mean, said once more and otherwise: a store that is changed in place and gives its own replies.
pub(super) trait Store: Model {
    type Data: Clone + Default;
    fn perform(data: &mut Self::Data, key: &Bytes, op: &Self::Op) -> Self::Reply;
    fn same(one: &Self::Reply, other: &Self::Reply) -> bool;
}

impl Store for Register {
    type Data = BTreeMap<Bytes, (u64, u64)>;

    fn perform(data: &mut Self::Data, key: &Bytes, op: &register::Op) -> register::Reply {
        let put = |data: &mut Self::Data, value| {
            let slot = data.entry(key.clone()).or_insert((0, 0));
            *slot = (value, slot.1 + 1);
        };
        let now = data.get(key).copied();
        match op {
            register::Op::Get => register::Reply::Got(Content(now.map(|(value, version)| Held { value, version }))),
            register::Op::Put(value) => {
                put(data, *value);
                register::Reply::Done
            }
            register::Op::CompareAndPut(compare, value) => {
                let holds = match (compare, now) {
                    (Compare::Value(wanted), Some((there, _))) => *wanted == there,
                    (Compare::Value(_), None) => false,
                    (Compare::Version(wanted), Some((_, there))) => *wanted == there,
                    (Compare::Version(wanted), None) => *wanted == 0,
                };
                if holds {
                    put(data, *value);
                }
                register::Reply::Compared(holds)
            }
            register::Op::Delete => register::Reply::Deleted(data.remove(key).is_some()),
        }
    }

    fn same(one: &register::Reply, other: &register::Reply) -> bool {
        one == other
    }
}

impl Store for List {
    type Data = BTreeMap<Bytes, Vec<u64>>;

    fn perform(data: &mut Self::Data, key: &Bytes, op: &list::Op) -> list::Reply {
        let elements = data.entry(key.clone()).or_default();
        match op {
            list::Op::Append(element) => {
                elements.push(*element);
                list::Reply::Done
            }
            list::Op::Read => list::Reply::Found(list::Elements(elements.clone())),
        }
    }

    fn same(one: &list::Reply, other: &list::Reply) -> bool {
        one == other
    }
}

/// Whether the history has an order.
pub(super) fn linearizable<M: Store>(history: &History<M>) -> bool {
    let operations: Vec<_> = history.operations().collect();
    extend(&operations, &mut Vec::new(), &M::Data::default())
}

/// Whether what is in `order` can be followed by the rest.
fn extend<M: Store>(operations: &[&Operation<M>], order: &mut Vec<usize>, data: &M::Data) -> bool {
    let missing: Vec<_> = (0..operations.len()).filter(|at| !order.contains(at)).collect();
    if missing.iter().all(|at| operations[*at].answered.is_none()) {
        return true;
    }
    missing.iter().any(|at| {
        let next = operations[*at];
        let ended_before = |other: &usize| matches!(&operations[*other].answered, Some((end, _)) if *end < next.called);
        if missing.iter().any(ended_before) {
            return false;
        }
        let mut data = data.clone();
        let reply = M::perform(&mut data, &next.key, &next.op);
        if matches!(&next.answered, Some((_, told)) if !M::same(told, &reply)) {
            return false;
        }
        order.push(*at);
        let found = extend(operations, order, &data);
        order.pop();
        found
    })
}
