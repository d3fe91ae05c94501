//! What a cluster costs that does nothing.

use std::time::Duration;

use tokio::time::sleep;

use crate::failure::Failure;
use crate::figures::Figures;
use crate::stage::Stage;

/// What is left to do after a start is done by then.
const SETTLE: Duration = Duration::from_secs(3);

pub(crate) async fn idle(stage: &Stage, measured: Duration) -> Result<Figures, Failure> {
    sleep(SETTLE).await;
    let usages = || stage.processes().iter().map(|node| node.usage()).collect::<Vec<_>>();
    let before = usages();
    sleep(measured).await;
    let after = usages();
    if after.is_empty() {
        let advice = "leave --endpoint away";
        return Err(Failure::new("only nodes of our own are looked at", advice));
    }
    let pairs = || before.iter().zip(&after);
    let cpu = pairs().map(|(before, after)| after.cpu_seconds - before.cpu_seconds);
    let cpu = cpu.fold(0.0, f64::max) / measured.as_secs_f64() * 100.0;
    let memory = after.iter().map(|usage| usage.memory_kib).max().unwrap_or(0);
    let mut figures = Figures::default();
    figures.add("cpu_of_the_busiest_node", cpu, "% of a core");
    figures.add("memory_of_the_largest_node", crate::rows::rate(memory, 1024.0), "MiB");
    Ok(figures)
}
