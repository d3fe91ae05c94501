//! Water, from the article: two atoms of hydrogen and one of oxygen must pass together, three hundred atoms in all. Permits limit
//! who may join a molecule, the barrier makes it whole, and permits go back only after the barrier, so that no atom of the next
//! molecule slips in. Prints one atom a line: every three sort to HHO.

use std::num::NonZeroUsize;
use std::sync::Arc;

use conclave_local::{CyclicBarrier, Semaphore};
use tokio::sync::mpsc;

const ATOMS: usize = 300;

#[tokio::main]
async fn main() {
    let hydrogen = Arc::new(Semaphore::new(2));
    let oxygen = Arc::new(Semaphore::new(1));
    let barrier = Arc::new(CyclicBarrier::new(NonZeroUsize::new(3).expect("not zero")));
    let (atoms, mut molecules) = mpsc::channel(3);
    for number in 0..ATOMS {
        let (name, place) = match number % 3 {
            0 => ('O', Arc::clone(&oxygen)),
            _ => ('H', Arc::clone(&hydrogen)),
        };
        let (barrier, atoms) = (Arc::clone(&barrier), atoms.clone());
        tokio::spawn(async move {
            let permit = place.acquire().await.expect("nobody closes it");
            atoms.send(name).await.expect("somebody listens");
            barrier.wait().await.expect("nobody leaves");
            drop(permit);
        });
    }
    drop(atoms);
    while let Some(atom) = molecules.recv().await {
        println!("{atom}");
    }
}
