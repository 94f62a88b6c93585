//! What the tests share: members, a parser of quorum expressions, and an oracle that knows nothing but subsets.
#![allow(dead_code, reason = "each test file uses its own part")]

use quorum::{Configuration, Epoch, Incarnation, Member, NodeId, NodeSet, Proposal, Role, Rule, SystemSpec};

/// Members `a`, `b`, `c` … with nodes 1, 2, 3 …, one per region given.
pub(crate) fn members(regions: &[&str]) -> Vec<Member> {
    let member = |(index, region): (usize, &&str)| Member {
        node: NodeId(index as u64 + 1),
        incarnation: Incarnation(1),
        name: name(index),
        region: region.to_string(),
        zone: region.to_string(),
        address: format!("10.0.0.{}:7400", index + 1),
        client_url: String::new(),
        role: Role::Voter,
    };
    regions.iter().enumerate().map(member).collect()
}

fn name(index: usize) -> String {
    match u8::try_from(index) {
        Ok(small) if small < 26 => char::from(b'a' + small).to_string(),
        _ => format!("n{index}"),
    }
}

pub(crate) fn proposal(regions: &[&str], spec: &str) -> Proposal {
    let system = spec.parse().unwrap_or_else(|error| panic!("{spec}: {error}"));
    Proposal {
        epoch: Epoch(1),
        alpha: 16,
        system,
        members: members(regions),
    }
}

pub(crate) fn configuration(regions: &[&str], spec: &str) -> Configuration {
    Configuration::new(proposal(regions, spec)).unwrap_or_else(|faults| panic!("{spec}: {faults}"))
}

/// Members that are not checked for anything but the system.
pub(crate) fn try_spec(regions: &[&str], system: SystemSpec) -> Result<Configuration, quorum::Faults> {
    Configuration::new(Proposal {
        epoch: Epoch(1),
        alpha: 16,
        system,
        members: members(regions),
    })
}

/// `abc` is the set of members 0, 1 and 2.
pub(crate) fn set(letters: &str) -> NodeSet {
    letters.bytes().map(|letter| letter - b'a').collect()
}

pub(crate) fn letters(set: NodeSet) -> String {
    set.iter().map(|index| char::from(b'a' + index)).collect()
}

/// Quorums as sorted words.
pub(crate) fn words(sets: impl IntoIterator<Item = NodeSet>) -> Vec<String> {
    let mut words: Vec<String> = sets.into_iter().map(letters).collect();
    words.sort();
    words
}

/// `a*b + choose(2, c, d, e)`: `*` is both, `+` is either, a letter is a member.
pub(crate) fn expression(text: &str) -> Rule {
    let tokens: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    let mut parser = Parser { tokens: &tokens, at: 0 };
    let rule = parser.sum();
    assert_eq!(parser.at, tokens.len(), "{text}: unread from {}", parser.at);
    rule
}

struct Parser<'a> {
    tokens: &'a [char],
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.tokens.get(self.at).copied()
    }

    fn eat(&mut self, wanted: char) -> bool {
        let there = self.peek() == Some(wanted);
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, wanted: char) {
        assert!(
            self.eat(wanted),
            "expected {wanted} at {} of {:?}",
            self.at,
            self.tokens
        );
    }

    fn sum(&mut self) -> Rule {
        let mut terms = vec![self.product()];
        while self.eat('+') {
            terms.push(self.product());
        }
        if terms.len() == 1 {
            terms.remove(0)
        } else {
            Rule::any(terms)
        }
    }

    fn product(&mut self) -> Rule {
        let mut factors = vec![self.factor()];
        while self.eat('*') {
            factors.push(self.factor());
        }
        if factors.len() == 1 {
            factors.remove(0)
        } else {
            Rule::all(factors)
        }
    }

    fn factor(&mut self) -> Rule {
        if self.eat('(') {
            let rule = self.sum();
            self.expect(')');
            return rule;
        }
        if self.tokens[self.at..].starts_with(&['c', 'h', 'o', 'o', 's', 'e', '(']) {
            self.at += 7;
            let mut k = 0;
            while let Some(digit) = self.peek().and_then(|c| c.to_digit(10)) {
                k = k * 10 + digit;
                self.at += 1;
            }
            let mut of = Vec::new();
            while self.eat(',') {
                of.push(self.sum());
            }
            self.expect(')');
            return Rule::at_least(k, of);
        }
        let letter = self.peek().expect("a letter");
        assert!(letter.is_ascii_lowercase(), "{letter} is not a member");
        self.at += 1;
        Rule::Node(letter as u8 - b'a')
    }
}

/// Every set is a word of `n` bits and every question is answered by going through all of them.
pub(crate) struct Oracle {
    pub(crate) n: u8,
    /// `quorum[bits]`.
    pub(crate) quorum: Vec<bool>,
}

impl Oracle {
    pub(crate) fn new(n: u8, is_quorum: impl Fn(u64) -> bool) -> Oracle {
        Oracle {
            n,
            quorum: (0..1_u64 << n).map(is_quorum).collect(),
        }
    }

    pub(crate) fn of_rule(n: u8, rule: &Rule) -> Oracle {
        Oracle::new(n, |bits| satisfied(rule, bits))
    }

    pub(crate) fn is(&self, bits: u64) -> bool {
        self.quorum[bits as usize]
    }

    pub(crate) fn all(&self) -> u64 {
        (1 << self.n) - 1
    }

    pub(crate) fn sets(&self) -> impl Iterator<Item = u64> + use<> {
        0..1_u64 << self.n
    }

    pub(crate) fn minimal(&self) -> Vec<u64> {
        let single_bits = |bits: u64| (0..self.n).map(|i| 1 << i).filter(move |bit| bits & bit != 0);
        self.sets()
            .filter(|bits| self.is(*bits) && single_bits(*bits).all(|bit| !self.is(bits ^ bit)))
            .collect()
    }

    /// The least total size of a quorum of this and a quorum of `other` without a common member.
    pub(crate) fn least_disjoint(&self, other: &Oracle) -> Option<u32> {
        let theirs = other.minimal();
        let pairs = self
            .minimal()
            .into_iter()
            .flat_map(|ours| theirs.iter().map(move |theirs| (ours, *theirs)));
        pairs
            .filter(|(a, b)| a & b == 0)
            .map(|(a, b)| a.count_ones() + b.count_ones())
            .min()
    }

    /// How many units may be lost whichever they are, and every least fatal set of units as a word of units.
    pub(crate) fn tolerance(&self, units: &[u64]) -> (u32, Vec<u64>) {
        let left = |lost: u64| {
            let gone = units
                .iter()
                .enumerate()
                .filter(|(i, _)| lost >> i & 1 == 1)
                .fold(0, |gone, (_, unit)| gone | unit);
            self.is(self.all() & !gone)
        };
        let fatal = Oracle::new(units.len() as u8, |lost| !left(lost)).minimal();
        (
            fatal
                .iter()
                .map(|lost| lost.count_ones())
                .min()
                .expect("losing all is fatal")
                - 1,
            fatal,
        )
    }
}

/// The meaning of a rule, written down once more and as plainly as possible.
pub(crate) fn satisfied(rule: &Rule, bits: u64) -> bool {
    match rule {
        Rule::Node(index) => bits & (1 << index) != 0,
        Rule::Threshold { k, of } => {
            let sum: u32 = of
                .iter()
                .map(|(weight, child)| if satisfied(child, bits) { *weight } else { 0 })
                .sum();
            sum >= *k
        }
    }
}
