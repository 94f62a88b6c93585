//! Where settings come from, merged by the `config` crate: the later layer wins, key by key.

use std::path::{Path, PathBuf};

use config::{Config, ConfigError, Map, Source, Value};

use super::document;
use super::fault::Fault;

/// Environment variables that begin so are settings.
const PREFIX: &str = "SYNOD_";

/// Variables with the prefix that are not settings: what the command line reads.
const NOT_SETTINGS: [&str; 4] = [
    "SYNOD_SETTINGS",
    "SYNOD_BOOTSTRAP",
    "SYNOD_ENDPOINTS",
    "SYNOD_BENCH_ENDPOINTS",
];

/// The layers of one node's settings, lowest first: file, environment, flags.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    file: Option<(String, PathBuf, String)>,
    environment: Vec<(String, String)>,
    flags: Vec<(String, String)>,
}

impl Layers {
    /// No layer: only defaults.
    #[must_use]
    pub fn new() -> Layers {
        Layers::default()
    }

    /// Adds a file. Paths in it are relative to its folder.
    ///
    /// # Errors
    /// A sentence if it cannot be read.
    pub fn with_file(self, path: &Path) -> Result<Layers, String> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read the settings file {}: {error}", path.display()))?;
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        Ok(self.with_text(&path.display().to_string(), folder, text))
    }

    /// Adds a text that stands for a file.
    #[must_use]
    pub fn with_text(mut self, name: &str, folder: PathBuf, text: String) -> Layers {
        self.file = Some((name.to_owned(), folder, text));
        self
    }

    /// Adds variables, `SYNOD_LISTEN_CLIENTS` for `listen.clients`; others than those with the prefix are left alone.
    #[must_use]
    pub fn with_environment(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Layers {
        let ours = variables.into_iter().filter(|(name, _)| {
            name.starts_with(PREFIX) && !NOT_SETTINGS.contains(&name.as_str()) && !is_service_link(name)
        });
        self.environment.extend(ours);
        self
    }

    /// Adds a flag's value for a key.
    #[must_use]
    pub fn with_flag(mut self, key: &str, value: &str) -> Layers {
        self.flags.push((key.to_owned(), value.to_owned()));
        self
    }

    /// The folder that paths of the file are relative to.
    pub(super) fn folder(&self) -> Option<(String, PathBuf)> {
        self.file
            .as_ref()
            .map(|(name, folder, _)| (name.clone(), folder.clone()))
    }

    /// All values, and the faults met on the way.
    pub(super) fn merge(&self) -> (Map<String, Value>, Vec<Fault>) {
        let mut faults = Vec::new();
        let mut builder = Config::builder();
        if let Some((name, _, text)) = &self.file {
            let (values, found) = document::parse(name, text);
            faults = found;
            builder = builder.add_source(Layer(values));
        }
        let environment = self.environment.iter().map(|(name, value)| {
            let key = super::keys::of_variable(&name[PREFIX.len()..]);
            (
                key.clone().unwrap_or_else(|| name.clone()),
                Value::new(Some(name), value.clone()),
            )
        });
        builder = builder.add_source(Layer(environment.collect()));
        let flags = self.flags.iter().map(|(key, value)| {
            (
                key.clone(),
                Value::new(Some(&format!("the flag for {key}")), value.clone()),
            )
        });
        builder = builder.add_source(Layer(flags.collect()));
        match builder.build().and_then(|config| config.cache.into_table()) {
            Ok(values) => (values, faults),
            Err(error) => {
                faults.push(Fault::new("", "", format!("the settings do not merge: {error}")));
                (Map::new(), faults)
            }
        }
    }
}

/// What Kubernetes injects for a Service named `synod`: variables such as `SYNOD_SERVICE_HOST` and
/// `SYNOD_PORT_2379_TCP_ADDR`.
fn is_service_link(name: &str) -> bool {
    name.contains("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.contains("_PORT_")
        || name.ends_with("_PORT")
}

/// Values that are read already.
#[derive(Clone, Debug)]
struct Layer(Map<String, Value>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}
