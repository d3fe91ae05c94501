//! Four tasks that print 1 2 3 4 in turn, from the article: a token goes around a ring of channels, and whoever has it prints. The
//! argument says how many rounds; one without it.

use tokio::sync::mpsc;

const TASKS: usize = 4;

#[tokio::main]
async fn main() {
    let rounds = std::env::args().nth(1).map_or(1, |rounds| rounds.parse().expect("a number"));
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..TASKS).map(|_| mpsc::channel(1)).unzip();
    senders[0].send(()).await.expect("the first one listens");
    let tasks: Vec<_> = receivers
        .into_iter()
        .enumerate()
        .map(|(at, mut turn)| {
            let next = senders[(at + 1) % TASKS].clone();
            tokio::spawn(async move {
                for _ in 0..rounds {
                    turn.recv().await.expect("the one before me goes on");
                    println!("{}", at + 1);
                    // After the last round the first one has gone home, and nobody takes the token from the last.
                    let _gone_home = next.send(()).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
}
