//! A scene: a tiny cluster and the moves that are made there, as text that is kept in `simulator/scenes/`.

use std::fmt;
use std::str::FromStr;

use quorum::{Configuration, Epoch, Incarnation, Member, Proposal, Role};

use super::moves::Move;
use crate::seat::Seat;

/// A tiny cluster, and what happens there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scene {
    pub(super) nodes: u8,
    pub(super) system: String,
    pub(super) alpha: u32,
    /// Most bytes of votes in one page of a promise.
    pub(super) page_bytes: usize,
    /// Bytes of applied entries that are kept in memory.
    pub(super) cache_bytes: usize,
    pub(super) moves: Vec<Move>,
}

impl Scene {
    /// An empty stage for so many nodes.
    pub(crate) fn new(nodes: u8, system: &str) -> Scene {
        Scene {
            nodes,
            system: system.to_owned(),
            alpha: 4,
            page_bytes: 1 << 20,
            cache_bytes: 1 << 20,
            moves: Vec::new(),
        }
    }

    pub(super) fn configuration(&self) -> Configuration {
        let member = |seat: Seat| Member {
            node: seat.node(),
            incarnation: Incarnation(1),
            name: format!("n{}", seat.0 + 1),
            region: format!("r{}", seat.0 + 1),
            zone: format!("z{}", seat.0 + 1),
            address: format!("127.0.0.1:{}", 7000 + seat.index()),
            client_url: String::new(),
            role: Role::Voter,
        };
        let proposal = Proposal {
            epoch: Epoch(1),
            alpha: self.alpha,
            system: self
                .system
                .parse()
                .expect("the scene's quorum system was checked when it was read"),
            members: Seat::all(usize::from(self.nodes)).map(member).collect(),
        };
        Configuration::new(proposal).expect("the scene's quorum system fits its members")
    }

    /// How many moves it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.moves.len()
    }

    /// Whether nothing happens in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.moves.is_empty()
    }
}

impl fmt::Display for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "cluster {} {}", self.nodes, self.system)?;
        for (name, value, usual) in [
            ("window", self.alpha as usize, 4),
            ("page", self.page_bytes, 1 << 20),
            ("cache", self.cache_bytes, 1 << 20),
        ] {
            if value != usual {
                writeln!(f, "{name} {value}")?;
            }
        }
        self.moves.iter().try_for_each(|step| writeln!(f, "{step}"))
    }
}

impl FromStr for Scene {
    type Err = String;

    fn from_str(text: &str) -> Result<Scene, String> {
        let mut scene: Option<Scene> = None;
        let lines = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        for line in lines {
            let number = |text: &str| text.parse::<usize>().map_err(|error| format!("{line:?}: {error}"));
            match (line.split_once(' '), &mut scene) {
                (Some(("cluster", rest)), None) => {
                    let (nodes, system) = rest.split_once(' ').ok_or("write it as: cluster 3 majority")?;
                    let nodes = u8::try_from(number(nodes)?).map_err(|error| error.to_string())?;
                    if !(1..=7).contains(&nodes) {
                        return Err(format!("a stage has 1 to 7 nodes, not {nodes}"));
                    }
                    system
                        .parse::<quorum::SystemSpec>()
                        .map_err(|error| error.to_string())?;
                    scene = Some(Scene::new(nodes, system));
                }
                (_, None) => return Err(format!("a scene begins with its cluster, not with {line:?}")),
                (Some(("window", rest)), Some(scene)) => {
                    scene.alpha = u32::try_from(number(rest)?).map_err(|error| error.to_string())?;
                }
                (Some(("page", rest)), Some(scene)) => scene.page_bytes = number(rest)?,
                (Some(("cache", rest)), Some(scene)) => scene.cache_bytes = number(rest)?,
                (_, Some(scene)) => scene.moves.push(line.parse()?),
            }
        }
        scene.ok_or_else(|| "the scene is empty".to_owned())
    }
}
