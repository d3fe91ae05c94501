//! The three nodes of `deploy/compose.yaml` under a name of their own, and the client outside. Built once, mended before
//! each scenario, gone at the end.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use conclave_tests::{Status, eventually};

use crate::containers::Scenario;
use crate::engine::Engine;
use crate::outside::Outside;
use crate::tools::must;
use crate::{deploy, root};

/// The services of the nodes, and their names.
pub(crate) const NODES: [&str; 3] = ["a", "b", "c"];
/// Projects begin so; the process id follows.
const PROJECT: &str = "conclave-test-";
/// A cluster that lost a node, or comes back, has a leader within this time on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// A whole release build on a busy machine. Nothing to do where it was built before.
const BUILD_MAX: Duration = Duration::from_secs(1_500);

pub(crate) struct Stage {
    pub(crate) engine: Engine,
    pub(crate) project: String,
    /// The static binary, as the client outside has it.
    pub(crate) binary: PathBuf,
    pub(crate) outside: Outside,
    host: String,
}

/// The one stage, as the trials share it.
#[derive(Clone, Default)]
pub(crate) struct Stages {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
enum Shared {
    #[default]
    Nothing,
    Ready(Box<Stage>),
    /// It could not be built; the other trials need not try again.
    Broken,
}

impl Stages {
    fn shared(&self) -> MutexGuard<'_, Shared> {
        // A scenario that failed leaves a stage that can be mended.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Plays a scenario on the stage, and asks the client outside afterwards. Panics as the scenario does.
    pub(crate) fn on_stage(&self, engine: &Engine, scenario: Scenario) -> Result<(), &'static str> {
        let mut shared = self.shared();
        if matches!(*shared, Shared::Nothing) {
            // What remains when building panics.
            *shared = Shared::Broken;
            *shared = Shared::Ready(Box::new(Stage::build(engine.clone())));
        }
        let Shared::Ready(stage) = &mut *shared else {
            return Err("the cluster could not be started, see above");
        };
        stage.mend();
        let played = catch_unwind(AssertUnwindSafe(|| {
            scenario(stage);
            stage.outside.verdict();
        }));
        if let Err(panic) = played {
            stage.show();
            std::panic::resume_unwind(panic);
        }
        Ok(())
    }

    /// Removes everything, however it stands.
    pub(crate) fn clear(&self) {
        *self.shared() = Shared::Nothing;
    }
}

impl Stage {
    fn build(engine: Engine) -> Self {
        sweep(&engine);
        let binary = must(Path::new("bash"), [deploy("static.sh")], &[], BUILD_MAX);
        let project = format!("{PROJECT}{}", std::process::id());
        let image = format!("{project}:latest");
        must(
            Path::new("bash"),
            [deploy("image.sh").to_str().expect("a path"), &image],
            &[],
            BUILD_MAX,
        );
        let pid = std::process::id();
        let host = format!("127.{}.{}.9", 20 + pid % 20, pid / 20 % 250);
        let endpoints = endpoints_of(&host);
        let mut stage = Self {
            engine,
            project,
            binary: root().join(binary),
            outside: Outside::new(&endpoints),
            host,
        };
        stage.compose(&["up", "--detach", "--no-build", "a", "b", "c"]);
        stage.all_healthy();
        stage.outside.begin();
        stage
    }

    pub(crate) fn compose(&self, words: &[&str]) -> String {
        compose(&self.engine, &self.project, &self.host, words)
    }

    pub(crate) fn endpoints(&self) -> String {
        endpoints_of(&self.host).join(",")
    }

    fn endpoint(&self, node: &str) -> String {
        let place = NODES.iter().position(|other| *other == node).expect("a node");
        endpoints_of(&self.host)[place].clone()
    }

    /// The container of a service.
    pub(crate) fn container(&self, service: &str) -> String {
        let [project, service] = [("project", &*self.project), ("service", service)]
            .map(|(key, value)| format!("label=com.docker.compose.{key}={value}"));
        let container = self
            .engine
            .docker(&["ps", "--all", "--quiet", "--filter", &project, "--filter", &service]);
        assert_eq!(container.lines().count(), 1, "the container of {service}: {container:?}");
        container
    }

    pub(crate) fn network(&self) -> String {
        format!("{}_conclave", self.project)
    }

    pub(crate) fn disconnect(&self, node: &str) {
        let (network, container) = (self.network(), self.container(node));
        self.engine.docker(&["network", "disconnect", &network, &container]);
    }

    pub(crate) fn connect(&self, node: &str) {
        let (network, container) = (self.network(), self.container(node));
        self.engine.docker(&["network", "connect", "--alias", node, &network, &container]);
    }

    /// Undoes whatever a scenario left, and waits until all three serve.
    pub(crate) fn mend(&self) {
        let network = self.network();
        for node in NODES {
            let container = self.container(node);
            let state = self.engine.inspect(&container, ".State.Status");
            if state.contains("paused") {
                self.engine.docker(&["unpause", &container]);
            }
            if !self.engine.inspect(&container, ".NetworkSettings.Networks").contains(&network) {
                self.connect(node);
            }
            if !state.contains("running") && !state.contains("paused") {
                self.engine.docker(&["start", &container]);
            }
        }
        self.all_healthy();
    }

    /// What the health checks in the containers say, and that all three follow one leader.
    pub(crate) fn all_healthy(&self) {
        for node in NODES {
            let container = self.container(node);
            eventually(&format!("{node} is healthy"), PATIENCE, || {
                let health = self.engine.inspect(&container, ".State.Health.Status");
                (health == "\"healthy\"").then_some(())
            });
        }
        self.leader_among(&NODES);
    }

    /// What a node says of the cluster, asked from outside; nothing while it does not answer.
    pub(crate) fn status(&self, node: &str) -> Option<Status> {
        let output = Command::new(&self.binary)
            .args(["--endpoint", &self.endpoint(node), "--connect-timeout", "1s"])
            .args(["status", "-o", "json"])
            .output()
            .expect("conclave runs");
        serde_json::from_slice(&output.stdout).ok().filter(|_| output.status.success())
    }

    /// The leader on which these agree, and which is one of them.
    pub(crate) fn leader_among(&self, nodes: &[&'static str]) -> &'static str {
        eventually(&format!("a leader of {nodes:?}"), PATIENCE, || {
            let leaders: BTreeSet<_> =
                nodes.iter().map(|node| self.status(node).and_then(|seen| seen.leader)).collect();
            let mut leaders = leaders.into_iter();
            let (leader, other) = (leaders.next()??, leaders.next());
            nodes.iter().find(|node| other.is_none() && **node == leader).copied()
        })
    }

    /// What the containers wrote, after a failure.
    fn show(&self) {
        let said = self.compose(&["logs", "--no-color", "--tail", "40"]);
        eprintln!("--- what the containers said last ---\n{said}");
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.outside.end();
        remove(&self.engine, &self.project, &self.host);
    }
}

fn endpoints_of(host: &str) -> [String; 3] {
    ["7420", "7430", "7440"].map(|port| format!("{host}:{port}"))
}

fn compose(engine: &Engine, project: &str, host: &str, words: &[&str]) -> String {
    let image = format!("{project}:latest");
    let environment = [("CONCLAVE_IMAGE", image.as_str()), ("CONCLAVE_HOST", host)];
    // All of the file, also the services of the demo.
    let words: Vec<_> = ["--profile", "demo"].iter().chain(words).copied().collect();
    engine.compose(project, &deploy("compose.yaml"), &environment, &words)
}

/// A node that is paused cannot be stopped, so the containers are removed by force first.
fn remove(engine: &Engine, project: &str, host: &str) {
    let label = format!("label=com.docker.compose.project={project}");
    for container in engine.docker(&["ps", "--all", "--quiet", "--filter", &label]).lines() {
        engine.docker_perhaps(&["rm", "--force", "--volumes", container]);
    }
    compose(engine, project, host, &["down", "--volumes", "--remove-orphans", "--timeout", "1"]);
    engine.docker_perhaps(&["image", "rm", "--force", &format!("{project}:latest")]);
}

/// Removes what a run that was killed left behind.
fn sweep(engine: &Engine) {
    let format = "{{.Label \"com.docker.compose.project\"}}";
    let containers = engine.docker(&["ps", "--all", "--format", format]);
    // The image comes first and goes last.
    let images = engine.docker(&["images", "--format", "{{.Repository}}"]);
    let left: BTreeSet<_> = containers
        .lines()
        .chain(images.lines())
        .filter_map(|project| Some((project, project.strip_prefix(PROJECT)?)))
        .filter(|(_, pid)| !Path::new("/proc").join(pid).exists())
        .map(|(project, _)| project)
        .collect();
    for project in left {
        remove(engine, project, "127.0.0.1");
    }
}
