//! `grpc.health.v1`, fed by whether a leader is heard; and the log line for each change of it.

use std::time::Duration;

use conclave_raft::Leadership;
use tokio::task::JoinHandle;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use crate::edge::Edge;

/// The whole server, and each service by itself.
const SERVICES: &[&str] =
    &["", "conclave.v1.SessionService", "conclave.v1.LockService", "conclave.v1.AdminService"];

/// How often it is looked whether the leader is still heard.
const LOOK_EVERY: Duration = Duration::from_millis(500);

pub(crate) struct Health {
    reporter: HealthReporter,
    task: JoinHandle<()>,
}

impl Health {
    /// Not serving until a leader is heard.
    pub(crate) async fn start(edge: Edge) -> Self {
        let reporter = HealthReporter::new();
        report(&reporter, false).await;
        let task = tokio::spawn(watch(reporter.clone(), edge));
        Self { reporter, task }
    }

    pub(crate) fn service(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.reporter.clone()))
    }

    /// Not serving any more, whoever leads.
    pub(crate) async fn stop(&self) {
        self.task.abort();
        report(&self.reporter, false).await;
    }
}

impl Drop for Health {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn watch(reporter: HealthReporter, edge: Edge) {
    let mut leadership = edge.node().leadership();
    let mut told = None;
    let mut serving = false;
    loop {
        let Leadership { term, leading, leader, .. } = leadership.borrow_and_update().clone();
        let name = leader.map(|leader| leader.name);
        if told.as_ref() != Some(&(name.clone(), leading)) {
            match &name {
                Some(leader) => tracing::info!(term = term.get(), %leader, leading, "leader known"),
                None => tracing::info!(term = term.get(), "no leader known"),
            }
            told = Some((name, leading));
        }
        let hears = Edge::hears_leader(&edge.node().status());
        if hears != serving {
            match hears {
                true => tracing::info!(term = term.get(), "the leader is heard"),
                false => tracing::warn!(term = term.get(), "the leader is not heard any more"),
            }
            report(&reporter, hears).await;
            serving = hears;
        }
        // Silence changes nothing that could be waited for.
        match tokio::time::timeout(LOOK_EVERY, leadership.changed()).await {
            Ok(Ok(())) | Err(_) => {}
            Ok(Err(_)) => {
                // The node is gone.
                report(&reporter, false).await;
                return;
            }
        }
    }
}

async fn report(reporter: &HealthReporter, serving: bool) {
    let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
    for service in SERVICES {
        reporter.set_service_status(*service, status).await;
    }
}
