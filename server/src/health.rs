//! `grpc.health.v1`, fed by who leads; and the log line for each change of it.

use conclave_raft::Leadership;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use crate::edge::Edge;

/// The whole server, and each service by itself.
const SERVICES: &[&str] =
    &["", "conclave.v1.SessionService", "conclave.v1.LockService", "conclave.v1.AdminService"];

pub(crate) struct Health {
    reporter: HealthReporter,
    task: JoinHandle<()>,
}

impl Health {
    /// Not serving until a leader is known.
    pub(crate) async fn start(edge: Edge) -> Self {
        let reporter = HealthReporter::new();
        let leadership = edge.node().leadership();
        report(&reporter, false).await;
        let task = tokio::spawn(watch(reporter.clone(), leadership));
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

async fn watch(reporter: HealthReporter, mut leadership: watch::Receiver<Leadership>) {
    let mut told = None;
    loop {
        let Leadership { term, leading, leader, .. } = leadership.borrow_and_update().clone();
        let name = leader.map(|leader| leader.name);
        if told.as_ref() != Some(&(name.clone(), leading)) {
            match &name {
                Some(leader) => tracing::info!(term = term.get(), %leader, leading, "leader known"),
                None => tracing::info!(term = term.get(), "no leader known"),
            }
            report(&reporter, name.is_some()).await;
            told = Some((name, leading));
        }
        if leadership.changed().await.is_err() {
            // The node is gone.
            report(&reporter, false).await;
            return;
        }
    }
}

async fn report(reporter: &HealthReporter, serving: bool) {
    let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
    for service in SERVICES {
        reporter.set_service_status(*service, status).await;
    }
}
