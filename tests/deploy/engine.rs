//! The container engine of this machine, and its compose: the plugin, or the older program of the same files.

use std::path::Path;
use std::time::Duration;

use crate::Skipped;
use crate::tools::{SOON, has, must, run};

/// Compose starts, stops and removes several containers in one call.
const COMPOSE_MAX: Duration = Duration::from_secs(90);

#[derive(Debug, Clone)]
pub(crate) struct Engine {
    /// `docker compose` or `docker-compose`.
    compose: &'static [&'static str],
}

impl Engine {
    pub(crate) fn find() -> Result<Self, Skipped> {
        if !has("docker", &["version"]) {
            return Err(Skipped("no container engine: nothing was tried with containers".into()));
        }
        let compose: &[&str] = if has("docker", &["compose", "version"]) {
            &["docker", "compose"]
        } else if has("docker-compose", &["version"]) {
            &["docker-compose"]
        } else {
            return Err(Skipped("no compose: nothing was tried with containers".into()));
        };
        Ok(Self { compose })
    }

    /// `docker` with these words; answers its output.
    pub(crate) fn docker(&self, words: &[&str]) -> String {
        must(Path::new("docker"), words, &[], SOON)
    }

    /// The same, for what may be done already.
    pub(crate) fn docker_perhaps(&self, words: &[&str]) -> bool {
        run(Path::new("docker"), words, &[], SOON).success
    }

    /// Compose on `file` under the name of a project.
    pub(crate) fn compose(
        &self,
        project: &str,
        file: &Path,
        environment: &[(&str, &str)],
        words: &[&str],
    ) -> String {
        let file = file.to_str().expect("a plain path");
        let (program, first) = self.compose.split_first().expect("a program");
        let which = ["-p", project, "-f", file];
        let arguments = first.iter().chain(&which).chain(words);
        must(Path::new(program), arguments, environment, COMPOSE_MAX)
    }

    /// One field of what the engine knows of a container.
    pub(crate) fn inspect(&self, container: &str, field: &str) -> String {
        self.docker(&["inspect", "--format", &format!("{{{{json {field}}}}}"), container])
    }
}
