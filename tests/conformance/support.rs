//! What the scenarios of several files share.

use std::time::{Duration, Instant};

use conclave_client::{Client, Consistency, Progress, Session};
use conclave_tests::Cluster;
use tokio::sync::watch;

pub(crate) fn client(cluster: &Cluster) -> Client {
    Client::connect(cluster.endpoints().split(',')).expect("valid endpoints")
}

pub(crate) async fn session(client: &Client, name: &str) -> Session {
    client.session().name(name).open().await.expect("a session")
}

pub(crate) async fn wait_for_queue(client: &Client, name: &str, length: usize) {
    let started = Instant::now();
    loop {
        let seen = client.admin().inspect(name, 1, Consistency::Linearizable).await.unwrap();
        let queued = seen.map_or(0, |object| object.queue_len as usize);
        if queued == length {
            return;
        }
        assert!(queued < length, "{queued} wait, expected {length}");
        assert!(started.elapsed() < Duration::from_secs(30), "{queued} of {length} wait");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A place to publish how far a request is, and one to wait there until it is queued.
pub(crate) fn progress() -> (watch::Sender<Progress>, watch::Receiver<Progress>) {
    watch::channel(Progress::Asking)
}

pub(crate) async fn until_queued(progress: &mut watch::Receiver<Progress>) {
    let queued = progress.wait_for(|progress| *progress != Progress::Asking);
    queued.await.expect("the request is still there");
}
