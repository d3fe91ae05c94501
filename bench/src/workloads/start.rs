//! From the start of one node to its first grant, and what a cluster costs that does nothing.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use conclave_client::Client;
use tokio::time::{Instant, sleep};

use crate::cluster::own_network;
use crate::failure::Failure;
use crate::figures::Figures;
use crate::machine::data_folder;
use crate::process::Process;
use crate::progress;
use crate::rows::median;

/// Longer is a failure.
const START_MAX: Duration = Duration::from_secs(20);

/// Starts a node alone so many times, each with an empty folder, and takes a lock.
pub(crate) async fn start(
    binary: &Path,
    parent: Option<&Path>,
    repetitions: u32,
) -> Result<Figures, Failure> {
    let mut took = Vec::new();
    for number in 1..=repetitions {
        progress::say(&format!("start {number} of {repetitions}"));
        took.push(once(binary, parent).await?.as_secs_f64() * 1e3);
    }
    let bytes = std::fs::metadata(binary).map_err(|error| Failure::of("the binary", error))?.len();
    let mut figures = Figures::default();
    figures.add("start_to_grant_median", median(took.iter().copied()), "ms");
    figures.add("start_to_grant_longest", took.iter().copied().fold(0.0, f64::max), "ms");
    figures.add("binary", crate::rows::rate(bytes, f64::from(1 << 20)), "MiB");
    Ok(figures)
}

async fn once(binary: &Path, parent: Option<&Path>) -> Result<Duration, Failure> {
    let folder = data_folder(parent)?;
    let ready = folder.path().join("ready.json");
    // Beside the cluster that other workloads start.
    let address = format!("127.{}.{}.9:7420", own_network()[0], own_network()[1]);
    let mut words: Vec<OsString> = ["dev", "--listen", &address].map(OsString::from).into();
    words.extend(["--data-dir".into(), folder.path().join("data").into_os_string()]);
    words.extend(["--ready-file".into(), ready.clone().into_os_string()]);
    let started = Instant::now();
    let mut process = Process::start("dev", binary, &words, folder.path())?;
    while !ready.exists() {
        process.must_run()?;
        if started.elapsed() > START_MAX {
            return Err(Failure::new("the node did not become ready", ""));
        }
        sleep(Duration::from_millis(1)).await;
    }
    let failed = |error: &dyn std::fmt::Display| Failure::of("the first lock", error);
    let client = Client::connect([address]).map_err(|error| failed(&error))?;
    let session = client.session().open().await.map_err(|error| failed(&error))?;
    let guard = session.mutex("first").lock().await.map_err(|error| failed(&error))?;
    let took = started.elapsed();
    drop(guard);
    Ok(took)
}
